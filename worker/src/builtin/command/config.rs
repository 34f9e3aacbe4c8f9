//! What the operator's file says of a program, and what of it is checked when the worker starts.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use service::tasks::Tasks;

use super::{
    attempt,
    environment::{self, PASSED_ON},
    launcher,
    limits::Limits,
    verdict::{Codes, Output},
};
use crate::{
    builtin::fields::{duration, some_duration},
    handler::{Context, Handler},
};

/// Largest output, in bytes; `WORKER_RESULT_LIMIT` holds besides.
const OUTPUT_LIMIT: usize = 1024 * 1024;
const OUTPUT_MAX: usize = 64 * 1024 * 1024;
/// What is kept of standard error, in bytes.
const STDERR_LIMIT: usize = 4096;
/// An error is stored up to 8 KiB; so much of it is left for the message.
const STDERR_MAX: usize = queue::task::ERROR_LIMIT - 256;
/// Below the default of `WORKER_CANCEL_GRACE`, after which nobody waits any more.
const GRACE: Duration = Duration::from_secs(3);
const GRACE_MAX: Duration = Duration::from_secs(60);

/// A kind of type `command` as the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::builtin) struct CommandKind {
    /// An absolute path, or a name that is looked up in the worker's `PATH` when it starts.
    program: PathBuf,
    #[serde(default)]
    arguments: Vec<String>,
    /// The worker's own unless given.
    directory: Option<PathBuf>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Variables of the worker that the program gets, too.
    #[serde(default = "passed_on")]
    inherit: Vec<String>,
    #[serde(default)]
    output: Output,
    /// In bytes.
    #[serde(default = "output_limit")]
    output_limit: usize,
    /// In bytes.
    #[serde(default = "stderr_limit")]
    stderr_limit: usize,
    /// Longest run, where tasks may have longer.
    #[serde(default, deserialize_with = "some_duration")]
    timeout: Option<Duration>,
    /// From SIGTERM to SIGKILL.
    #[serde(default = "grace", deserialize_with = "duration")]
    grace: Duration,
    fatal_codes: Option<Vec<i32>>,
    retry_codes: Option<Vec<i32>>,
    #[serde(default)]
    limits: Limits,
}

/// A checked program: everything that an attempt needs and that no task can change.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) directory: Option<PathBuf>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) output: Output,
    pub(super) output_limit: usize,
    pub(super) stderr_limit: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) codes: Codes,
    pub(super) limits: Limits,
}

impl CommandKind {
    /// Checks it, and makes what runs its tasks. The reason of a refusal is one line that begins with the field.
    pub(in crate::builtin) fn handler(self) -> Result<impl Handler, String> {
        let program = Arc::new(self.check()?);
        launcher::hide_worker()?;
        Ok(move |task: Context| {
            let attempt = attempt::run(program.clone(), task);
            async move {
                // A dropped handler leaves the attempt behind, which sees the task's stop and ends the program with its grace.
                Tasks::new().spawn(attempt).await?
            }
        })
    }

    fn check(self) -> Result<Program, String> {
        launcher::is_there()?;
        let path = find(&self.program).map_err(|reason| format!("program: {reason}"))?;
        if let Some(directory) = self.directory.as_deref().filter(|path| !path.is_absolute() || !path.is_dir()) {
            return Err(format!("directory: {} is no absolute path of a directory", directory.display()));
        }
        within("output_limit", self.output_limit, 1, OUTPUT_MAX)?;
        within("stderr_limit", self.stderr_limit, 0, STDERR_MAX)?;
        if self.timeout == Some(Duration::ZERO) {
            return Err("timeout: must be longer than nothing".to_owned());
        }
        if self.grace > GRACE_MAX {
            return Err(format!("grace: must be at most {GRACE_MAX:?}"));
        }
        self.limits.check()?;
        if self.arguments.iter().any(|argument| argument.contains('\0')) {
            return Err("arguments: must not contain NUL".to_owned());
        }
        Ok(Program {
            path,
            arguments: self.arguments,
            directory: self.directory,
            environment: environment::fixed(&self.inherit, self.environment)?,
            output: self.output,
            output_limit: self.output_limit,
            stderr_limit: self.stderr_limit,
            timeout: self.timeout,
            grace: self.grace,
            codes: Codes::new(self.fatal_codes, self.retry_codes)?,
            limits: self.limits,
        })
    }
}

fn within(field: &str, given: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&given) { Ok(()) } else { Err(format!("{field}: must be {least} to {most}")) }
}

/// The program itself: where it is, and that it can be run.
fn find(program: &Path) -> Result<PathBuf, String> {
    if program.is_absolute() {
        return if is_executable(program) {
            Ok(program.to_owned())
        } else {
            Err(format!("{} is no executable file", program.display()))
        };
    }
    if program.components().count() != 1 {
        return Err(format!("{} is neither an absolute path nor a name", program.display()));
    }
    let path = environment::own("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program));
    found
        .filter(|path| path.is_absolute())
        .find(|path| is_executable(path))
        .ok_or_else(|| format!("{} is not in the PATH of the worker", program.display()))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn passed_on() -> Vec<String> {
    PASSED_ON.map(str::to_owned).to_vec()
}

fn output_limit() -> usize {
    OUTPUT_LIMIT
}

fn stderr_limit() -> usize {
    STDERR_LIMIT
}

fn grace() -> Duration {
    GRACE
}
