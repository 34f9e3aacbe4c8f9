//! One run of the server's main process: start it, and find out whether it is ready or why it is not.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use local_process::{Watchdog, poll};

use crate::account::Account;
use crate::home::Home;
use crate::{Error, Installation};

/// How a start went.
#[derive(Debug)]
pub(crate) enum Start {
    /// It accepts connections.
    Ready,
    /// It ended, for a reason that a caller may know how to handle.
    Refused(Refusal),
    /// It ended or did not get ready in time.
    Failed(Error),
}

/// Reasons for a refusal, read from the server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another postmaster lives on these data.
    AlreadyRunning,
    /// Some processes of a killed postmaster are not gone yet.
    OldProcesses,
    /// Something else listens on the port.
    PortTaken,
}

impl Refusal {
    /// What the log of a failed start says, in the messages of the C locale.
    fn read(log: &str) -> Option<Self> {
        [
            (r#"lock file "postmaster.pid" already exists"#, Self::AlreadyRunning),
            ("pre-existing shared memory block", Self::OldProcesses),
            ("Address already in use", Self::PortTaken),
        ]
        .into_iter()
        .find_map(|(message, refusal)| log.contains(message).then_some(refusal))
    }
}

/// Starts a postmaster under `watchdog` and waits until it accepts connections or ends, `deadline` at the latest.
pub(crate) fn start(
    installation: &Installation,
    account: &Account,
    home: &Home,
    watchdog: &mut Watchdog,
    settings: &[(String, String)],
    deadline: Instant,
) -> Result<Start, Error> {
    let program = installation.bin_dir().join("postgres");
    let data = home.data();
    let log = home.log();
    let before = log.length();
    let (out, err) = log.open().map_err(Error::io("open", log.path()))?;
    watchdog
        .spawn(&program, |command| {
            account.configure(command, home.dir());
            command.arg("-D").arg(&data);
            for (name, value) in settings {
                command.arg("-c").arg(format!("{name}={value}"));
            }
            command.stdout(Stdio::from(out)).stderr(Stdio::from(err))
        })
        .map_err(Error::io("run", &program))?;

    let outcome = poll::until(deadline, || {
        if let Some(status) = watchdog.ended()? {
            return Ok(Some(Some(status)));
        }
        Ok(watchdog.pid().is_some_and(|pid| is_ready(&data, pid)).then_some(None))
    })
    .map_err(Error::io("wait for", &program))?;

    let log = log.tail(before);
    Ok(match outcome {
        Some(None) => Start::Ready,
        Some(Some(status)) => match Refusal::read(&log) {
            Some(refusal) => Start::Refused(refusal),
            None => Start::Failed(Error::NotStarted { what: format!("did not start ({status})"), log }),
        },
        None => Start::Failed(Error::NotStarted { what: "is not ready in time".into(), log }),
    })
}

/// The postmaster that the lock file in `data` names, running or not.
pub(crate) fn owner(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// Whether the server's lock file says that postmaster `pid` accepts connections: its eighth line, as pg_ctl reads it.
fn is_ready(data: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let mut lines = text.lines();
    lines.next().is_some_and(|line| line.trim() == pid.to_string())
        && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Refusal, is_ready};

    #[test]
    fn refusals_are_read_from_the_log() {
        for (log, refusal) in [
            (
                r#"FATAL:  lock file "postmaster.pid" already exists
                HINT:  Is another postmaster (PID 12) running in data directory "/d"?"#,
                Some(Refusal::AlreadyRunning),
            ),
            ("FATAL:  pre-existing shared memory block (key 6751, ID 9) is still in use", Some(Refusal::OldProcesses)),
            (r#"LOG:  could not bind IPv4 address "127.0.0.1": Address already in use"#, Some(Refusal::PortTaken)),
            (r#"FATAL:  unrecognized configuration parameter "fsink""#, None),
        ] {
            assert_eq!(Refusal::read(log), refusal, "{log}");
        }
    }

    #[test]
    fn ready_is_the_eighth_line_of_this_postmaster() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_ready(dir.path(), 7));
        let file = dir.path().join("postmaster.pid");
        let lines = |status: &str| format!("7\n/d\n1700000000\n20000\n\n127.0.0.1\n  1 2\n{status}\n");
        for (status, ready) in [("ready   ", true), ("starting", false), ("stopping", false)] {
            fs::write(&file, lines(status)).unwrap();
            assert_eq!(is_ready(dir.path(), 7), ready, "{status}");
        }
        fs::write(&file, lines("ready")).unwrap();
        assert!(!is_ready(dir.path(), 8), "another postmaster's file");
    }
}
