//! Why a server could not be found, started or stopped. Every message says what to do, where there is something to do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Product;

/// A failure of this crate. One line each, except where the server's own words are quoted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server program anywhere.
    #[error(
        "no Redis (7.0 or later) or Valkey server found: run `dev/setup.sh --redis`, or install one, \
         or set TASKROW_REDIS_BIN to its redis-server or valkey-server"
    )]
    NotFound,

    /// There may be a server program, but not of the product asked for.
    #[error(
        "no {0} server of version 7.0 or later found: run `dev/setup.sh --test`, or install it, or set TASKROW_REDIS_BIN"
    )]
    ProductNotFound(Product),

    /// There are servers, and all of them are too old. The message names the first.
    #[error(
        "{} is {product} {version}, and Taskrow needs 7.0 or later: \
         install a later one, or set TASKROW_REDIS_BIN to it",
        program.display()
    )]
    TooOld {
        /// The program found.
        program: PathBuf,
        /// What it is.
        product: Product,
        /// Its version.
        version: String,
    },

    /// `TASKROW_REDIS_BIN` was set by hand, so nothing else is tried.
    #[error("TASKROW_REDIS_BIN={} is not the program of a Redis or Valkey server", .0.display())]
    BadProgram(PathBuf),

    /// Something else listens on the server's port.
    #[error("port {0} of 127.0.0.1 is taken")]
    PortTaken(u16),

    /// The server ended, or was not ready in time; `log` is the end of what it wrote meanwhile.
    #[error("{product} {what}; its log ends with:\n{log}")]
    NotStarted {
        /// What was started.
        product: Product,
        /// What happened instead of becoming ready.
        what: String,
        /// The last lines of the server's log.
        log: String,
    },

    /// The server was told to end and still runs.
    #[error("the server (pid {pid}) still runs {} s after it was told to stop", limit.as_secs())]
    NotStopped {
        /// The server's process.
        pid: u32,
        /// How long was waited.
        limit: Duration,
    },

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
}

impl Error {
    /// For `map_err`: the error of `doing` something to `path`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
