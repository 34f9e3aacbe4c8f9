//! The few things that a process must do to itself before it becomes the program.
//!
//! Limits set from outside come too late, for the program runs already; between fork and exec only unsafe code runs. So this
//! executable starts itself again, with [`MARK`] as its first argument: that process limits itself, asks the kernel to kill it when
//! the worker ends, however it does, and becomes the program. No shell is needed, which the image does not have.

use std::{
    env,
    ffi::OsStr,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::process::Command as AsyncCommand;

use super::{config::Program, limits::Limits};

/// What tells the launcher from every other start of the executable.
const MARK: &str = "taskrow-launch";
/// What shells answer for a program that cannot be run, and for one that is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Whether `main` of this executable calls [`launch`]; one that does not would start over with each task.
static IS_THERE: AtomicBool = AtomicBool::new(false);

/// To be called first in `main` of every executable that runs kinds of type `command`.
///
/// In the process of a task it does not return, except with an exit code when the program cannot be run; the reason is on standard
/// error, and so becomes the attempt's error.
#[must_use = "the process must end with this code"]
pub fn launch() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(MARK)) {
        IS_THERE.store(true, Ordering::Relaxed);
        return None;
    }
    let arguments: Vec<_> = arguments.collect();
    let [worker, limits, program, arguments @ ..] = arguments.as_slice() else {
        return Some(failed(CANNOT_RUN, MARK, "is for the worker to call"));
    };
    if let Err(reason) = prepare(worker, limits) {
        return Some(failed(CANNOT_RUN, "cannot be prepared", &reason));
    }
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    Some(failed(code, &program.to_string_lossy(), &error.to_string()))
}

/// The command that starts a program by way of the launcher.
pub(super) fn command(program: &Program) -> AsyncCommand {
    let mut command = AsyncCommand::new(own_executable());
    command.arg(MARK).arg(std::process::id().to_string());
    command.arg(serde_json::to_string(&program.limits).expect("numbers are JSON"));
    command.arg(&program.path).args(&program.arguments);
    command
}

/// Refuses kinds of this type in a process that could not launch anything.
pub(super) fn is_there() -> Result<(), String> {
    if IS_THERE.load(Ordering::Relaxed) {
        Ok(())
    } else {
        Err("type: this executable does not call worker::launch() in its main".to_owned())
    }
}

/// Hides the worker's memory and first environment, passwords and all, from programs that run as the same user: without this they read
/// them in /proc. (Root's programs still can.)
#[cfg(target_os = "linux")]
pub(super) fn hide_worker() -> Result<(), String> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("type: cannot hide the worker: {error}"))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn hide_worker() -> Result<(), String> {
    Ok(())
}

fn prepare(worker: &OsStr, limits: &OsStr) -> Result<(), String> {
    let text = |argument: &OsStr| argument.to_str().unwrap_or_default().to_owned();
    let worker: i32 = text(worker).parse().map_err(|error| format!("{error}"))?;
    let limits: Limits = serde_json::from_str(&text(limits)).map_err(|error| error.to_string())?;
    end_with(worker)?;
    limits.apply().map_err(|error| format!("limits: {error}"))
}

/// The signal comes when the *thread* ends that started this process: one of tokio's workers, which live as long as the runtime,
/// unless a handler calls `tokio::task::block_in_place`. Kept across exec, not passed on to children.
#[cfg(target_os = "linux")]
fn end_with(worker: i32) -> Result<(), String> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    // It may have ended before that.
    if getppid().map(Pid::as_raw_nonzero).map(i32::from) == Some(worker) {
        Ok(())
    } else {
        Err("the worker is gone".to_owned())
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with(_: i32) -> Result<(), String> {
    Ok(())
}

/// On Linux the link of the running file, which holds also after an upgrade has put another one into its place.
fn own_executable() -> std::path::PathBuf {
    if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { env::current_exe().unwrap_or_default() }
}

#[expect(clippy::print_stderr, reason = "this process's standard error is the attempt's")]
fn failed(code: u8, what: &str, reason: &str) -> ExitCode {
    eprintln!("{what}: {reason}");
    ExitCode::from(code)
}
