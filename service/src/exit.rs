//! Exit codes (`sysexits.h`) and the way a process gives up: one clear line on standard error.

use std::{fmt::Display, process::ExitCode};

use clap::{Command, Parser};

/// Bad configuration or command line (`EX_USAGE`). Nothing was opened, nothing was changed.
pub const USAGE: u8 = 64;
/// A dependency stayed away until the deadline (`EX_UNAVAILABLE`).
pub const UNAVAILABLE: u8 = 69;
/// Something failed that the operator must look at (`EX_SOFTWARE`).
pub const SOFTWARE: u8 = 70;

/// A reason to end the process: what to print and which code to exit with.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Bad configuration: exit code 64.
    pub fn usage(reason: impl Display) -> Self {
        Self::new(USAGE, reason)
    }

    /// A dependency that did not come in time: exit code 69.
    pub fn unavailable(reason: impl Display) -> Self {
        Self::new(UNAVAILABLE, reason)
    }

    /// Any other failure: exit code 70.
    pub fn software(reason: impl Display) -> Self {
        Self::new(SOFTWARE, reason)
    }

    fn new(code: u8, reason: impl Display) -> Self {
        let message = reason.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Self { code, message }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Reads flags and environment. `--help` and `--version` exit 0; anything wrong exits 64 with one line.
pub fn parse<C: Parser>() -> Result<C, ExitCode> {
    parse_as(C::command())
}

/// As [`parse`], with a command whose defaults were changed.
pub fn parse_as<C: Parser>(mut command: Command) -> Result<C, ExitCode> {
    let parsed =
        command.try_get_matches_from_mut(std::env::args_os()).and_then(|matches| C::from_arg_matches(&matches));
    parsed.map_err(|error| {
        if !error.use_stderr() {
            // The reader of `--help | head` may be gone; that is no failure.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let text = error.to_string();
        // clap's first paragraph is the reason; the usage text after it would bury it.
        let reason = text.split("\n\n").next().unwrap_or(&text);
        report(&Failure::usage(reason.trim_start_matches("error: ")))
    })
}

/// Turns the end of `main` into an exit code, printing the reason of a failure.
pub fn report_result(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

#[expect(clippy::print_stderr, reason = "the last line of a process that gives up must not depend on its log settings")]
fn report(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::from(failure.code)
}
