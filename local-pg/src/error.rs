//! Why a server could not be found, started or stopped. Every message says what to do, where there is something to do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failure of this crate. One line each, except where the server's own words are quoted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable server programs anywhere.
    #[error(
        "no Postgres server (14 to 18) found: run `make setup`, or `apt-get install postgresql`, \
         or set TASKROW_PG_BIN to the directory that holds initdb and postgres"
    )]
    NotFound,

    /// Server programs may be there, but not of the major version asked for.
    #[error(
        "no Postgres {0} server found: run `dev/setup.sh --test` (16 and 18), or install it, or set TASKROW_PG_BIN"
    )]
    MajorNotFound(u32),

    /// `TASKROW_PG_BIN` was set by hand, so nothing else is tried.
    #[error("TASKROW_PG_BIN={} does not hold a Postgres server of version 14 to 18", .0.display())]
    BadBinDir(PathBuf),

    /// The data was made by another major version; Postgres cannot read it without an upgrade.
    #[error(
        "{} holds data of Postgres {data} but the server is Postgres {server}: \
         set TASKROW_PG_BIN to a Postgres {data}, or remove the directory to start anew",
        dir.display()
    )]
    OtherMajor {
        /// The data directory.
        dir: PathBuf,
        /// Major version that made the data.
        data: u32,
        /// Major version of the programs found.
        server: u32,
    },

    /// Another postmaster has the data directory.
    #[error("another Postgres (pid {pid}) is already running on {}: stop it first", dir.display())]
    AlreadyRunning {
        /// The data directory.
        dir: PathBuf,
        /// What that server's postmaster.pid says.
        pid: u32,
    },

    /// The port that was asked for is taken.
    #[error("port {0} of 127.0.0.1 is taken: choose another, or stop what listens there")]
    PortTaken(u16),

    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    Initdb(String),

    /// The server ended, or was not ready in time; `log` is the end of what it wrote meanwhile.
    #[error("Postgres {what}; its log ends with:\n{log}")]
    NotStarted {
        /// What happened instead of becoming ready.
        what: String,
        /// The last lines of the server's log.
        log: String,
    },

    /// The server was told to stop and still runs. A smart stop waits for every client.
    #[error("Postgres (pid {pid}) still runs {} s after it was told to stop", limit.as_secs())]
    NotStopped {
        /// The postmaster.
        pid: u32,
        /// How long was waited.
        limit: Duration,
    },

    /// Root has nobody to run the server as.
    #[error("Postgres refuses to run as root, and neither user `postgres` nor `nobody` exists")]
    NoAccount,

    /// No PgBouncer anywhere.
    #[error("no PgBouncer found: run `dev/setup.sh --test`, or install the package pgbouncer")]
    NoPooler,

    /// A file or process operation failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// The server refused a connection or a statement.
    #[error("{doing}: {source}")]
    Sql {
        /// What the statement was for.
        doing: String,
        /// The driver's answer.
        source: tokio_postgres::Error,
    },

    /// The project's migrations failed on a test template.
    #[error("cannot migrate the test template: {0}")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// For `map_err`: the error of `doing` something to `path`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
