//! Making a new data directory, and checking an old one.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use local_process::{Watchdog, poll};

use crate::account::Account;
use crate::home::Home;
use crate::{Error, Installation};

/// The superuser of every server.
pub(crate) const USER: &str = "taskrow";

const LIMIT: Duration = Duration::from_secs(120);

/// What the data are for, which decides how they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be kept: on disk before the server starts, and passwords never cross a socket in the clear.
    Keep,
    /// For one run. The password is sent as it is, to 127.0.0.1: SCRAM stretches it in every client for every
    /// connection, which costs a client built without optimization 50 ms.
    ThrowAway,
}

impl Purpose {
    fn initdb_options(self) -> &'static [&'static str] {
        match self {
            Self::Keep => &["--auth=scram-sha-256"],
            Self::ThrowAway => &["--auth=password", "--no-sync"],
        }
    }
}

/// Makes the data of `home` when there are none, else checks that `installation` can read them.
///
/// New data appear under their name only when complete, so an interrupted
/// run leaves nothing half made.
pub(crate) fn ensure(
    installation: &Installation,
    account: &Account,
    home: &Home,
    watchdog: &mut Watchdog,
    purpose: Purpose,
) -> Result<(), Error> {
    let data = home.data();
    if data.exists() {
        return check_major(installation, &data);
    }
    let unfinished = home.dir().join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
    }
    run(installation, account, home, watchdog, &unfinished, purpose)?;
    fs::rename(&unfinished, &data).map_err(Error::io("rename", &unfinished))
}

fn check_major(installation: &Installation, data: &Path) -> Result<(), Error> {
    let path = data.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    match text.trim_end().parse() {
        Ok(major) if major != installation.major() => {
            Err(Error::OtherMajor { dir: data.to_owned(), data: major, server: installation.major() })
        }
        // What cannot be read is for the server itself to complain about.
        _ => Ok(()),
    }
}

fn run(
    installation: &Installation,
    account: &Account,
    home: &Home,
    watchdog: &mut Watchdog,
    data: &Path,
    purpose: Purpose,
) -> Result<(), Error> {
    let program = installation.bin_dir().join("initdb");
    let log = home.log();
    let before = log.length();
    let (out, err) = log.open().map_err(Error::io("open", log.path()))?;
    watchdog
        .spawn(&program, |command| {
            account.configure(command, home.dir());
            command.arg("--pgdata").arg(data).arg("--pwfile").arg(home.password_file());
            command.args(["--username", USER, "--encoding=UTF8", "--locale=C"]).args(purpose.initdb_options());
            command.stdout(Stdio::from(out)).stderr(Stdio::from(err))
        })
        .map_err(Error::io("run", &program))?;
    let status = poll::until(Instant::now() + LIMIT, || watchdog.ended()).map_err(Error::io("wait for", &program))?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Error::Initdb(format!("{status}; it said:\n{}", log.tail(before)))),
        None => Err(Error::Initdb(format!("not done after {} s", LIMIT.as_secs()))),
    }
}
