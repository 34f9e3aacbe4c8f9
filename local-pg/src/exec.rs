//! `local-pg exec`: a command with a server beside it.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use local_pg::{Error, Installation, Server, testing};
use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the command between the start and the stop of a throw-away server.
pub(crate) fn run(major: Option<u32>, command: &[OsString]) -> Result<ExitCode, Error> {
    let installation = major.map_or_else(Installation::find, Installation::find_major)?;
    let server = Server::throwaway(&installation, &[])?;
    let [program, arguments @ ..] = command else { return Ok(ExitCode::FAILURE) };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env(testing::SERVER_ENV, server.base_url());

    let failed = |source| Error::Io { doing: "run", path: Path::new(program).to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let status = runtime.block_on(supervise(command)).map_err(failed)?;
    Ok(exit_code(status))
}

/// Waits for the command. A signal to stop is passed on, and the command decides when to end.
async fn supervise(mut command: tokio::process::Command) -> io::Result<ExitStatus> {
    // Before the command runs: from now on no signal ends this process.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut child = command.spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            // In a terminal, Ctrl-C has reached the command by itself; a second one could mean something else to it.
            _ = interrupts.recv() => if !io::stdin().is_terminal() { pass_on(&child, Signal::INT) },
            _ = terminations.recv() => pass_on(&child, Signal::TERM),
        }
    }
}

fn pass_on(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    if let Some(pid) = pid {
        // It may just have ended, which the next wait reports.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The command's own code or, as shells have it, 128 and the signal that ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
