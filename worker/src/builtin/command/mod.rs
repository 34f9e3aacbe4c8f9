//! The kind type `command`: runs a program of the operator's choice for each task.
//!
//! Payload on standard input, result from standard output, verdict by exit code. A task is a process group: whatever its end (the
//! program's own, cancelled, out of time, too much output, the worker stops), nothing of the group is left. On Linux the program is
//! killed even when the worker was, by SIGKILL.

mod attempt;
mod capture;
mod config;
mod environment;
mod group;
mod launcher;
mod limits;
mod verdict;

pub(super) use self::config::CommandKind;
pub use self::launcher::launch;
