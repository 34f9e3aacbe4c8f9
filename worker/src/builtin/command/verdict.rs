//! What the end of a program means for its task.

use std::process::ExitStatus;

use queue::Json;
use serde::Deserialize;

use crate::handler::TaskError;

/// What sysexits.h blames on the input, which stays the same: EX_USAGE, EX_DATAERR.
const FATAL: [i32; 2] = [64, 65];
/// As shells and the launcher report a program that cannot be run: the operator's mistake, never the task's.
const NOT_RUN: [i32; 2] = [126, 127];

/// What standard output holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Output {
    /// The result, as JSON; nothing at all is `null`.
    #[default]
    Json,
    /// Text, which becomes a string, without line breaks at its end.
    Text,
}

/// Which exit codes end a task for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Codes {
    /// These do, all others are tried again.
    Fatal(Vec<i32>),
    /// All do, but these are tried again.
    Retry(Vec<i32>),
}

impl Codes {
    /// As configured: one list or the other.
    pub(super) fn new(fatal: Option<Vec<i32>>, retry: Option<Vec<i32>>) -> Result<Self, String> {
        let (field, codes) = match (fatal, retry) {
            (Some(_), Some(_)) => {
                return Err("retry_codes: not beside fatal_codes: every other code is the other".to_owned());
            }
            (None, Some(codes)) => ("retry_codes", Self::Retry(codes)),
            (fatal, None) => ("fatal_codes", Self::Fatal(fatal.unwrap_or(FATAL.to_vec()))),
        };
        let (Self::Fatal(list) | Self::Retry(list)) = &codes;
        match list.iter().find(|code| !(1..=255).contains(*code)) {
            Some(code) => Err(format!("{field}: {code} is no code of a failure, which are 1 to 255")),
            None => Ok(codes),
        }
    }

    fn is_fatal(&self, code: i32) -> bool {
        match self {
            Self::Fatal(codes) => codes.contains(&code),
            Self::Retry(codes) => !codes.contains(&code) && !NOT_RUN.contains(&code),
        }
    }
}

/// The result of a program that ended by itself, or why there is none. `complaint` is what it wrote to standard error.
pub(super) fn verdict(
    status: ExitStatus,
    output: Output,
    stdout: &[u8],
    complaint: &str,
    codes: &Codes,
) -> Result<Json, TaskError> {
    if status.success() {
        return result(output, stdout);
    }
    let message = with_complaint(&status.to_string(), complaint);
    match status.code() {
        Some(code) if codes.is_fatal(code) => Err(TaskError::fatal(message)),
        // Killed, by the kernel or by somebody: that is not the task's fault, as far as anybody knows.
        Some(_) | None => Err(TaskError::retry(message)),
    }
}

/// A reason and what the program itself had to say.
pub(super) fn with_complaint(reason: &str, complaint: &str) -> String {
    if complaint.is_empty() { reason.to_owned() } else { format!("{reason}: {complaint}") }
}

fn result(output: Output, stdout: &[u8]) -> Result<Json, TaskError> {
    match output {
        Output::Json if stdout.trim_ascii().is_empty() => Json::parse(b"null"),
        Output::Json => Json::parse(stdout.trim_ascii()),
        Output::Text => Json::from_value(&String::from_utf8_lossy(stdout).trim_end_matches(['\r', '\n'])),
    }
    .map_err(|error| TaskError::fatal(format!("the output is no result: {error}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn of(raw: i32, stdout: &str, output: Output, codes: &Codes) -> String {
        match verdict(ExitStatus::from_raw(raw), output, stdout.as_bytes(), "why", codes) {
            Ok(result) => format!("done {}", result.get()),
            Err(TaskError::Fatal { message }) => format!("fatal {message}"),
            Err(TaskError::Retry { message, .. }) => format!("retry {message}"),
            Err(TaskError::Again { .. }) => unreachable!("no program asks for that"),
        }
    }

    #[test]
    fn an_output_becomes_the_result() {
        let codes = Codes::new(None, None).unwrap();
        let json = |text: &str| of(0, text, Output::Json, &codes);
        assert_eq!(json(" {\"a\": 1}\n"), "done {\"a\": 1}");
        assert_eq!(json("\n"), "done null");
        assert!(json("hello").starts_with("fatal the output is no result: "), "{}", json("hello"));
        assert!(json("1 2").starts_with("fatal the output is no result: "));
        assert_eq!(of(0, "hello \"you\"\n\n", Output::Text, &codes), r#"done "hello \"you\"""#);
        assert_eq!(of(0, "", Output::Text, &codes), r#"done """#);
    }

    #[test]
    fn codes_say_whether_to_try_again() {
        let exit = |code: i32, codes: &Codes| of(code << 8, "1", Output::Json, codes);
        let default = Codes::new(None, None).unwrap();
        assert_eq!(exit(1, &default), "retry exit status: 1: why");
        assert_eq!(exit(64, &default), "fatal exit status: 64: why");
        assert_eq!(exit(65, &default), "fatal exit status: 65: why");
        assert_eq!(exit(75, &default), "retry exit status: 75: why");
        assert_eq!(exit(65, &Codes::new(Some(vec![3]), None).unwrap()), "retry exit status: 65: why");
        let only = Codes::new(None, Some(vec![75])).unwrap();
        assert_eq!(exit(75, &only), "retry exit status: 75: why");
        assert_eq!(exit(1, &only), "fatal exit status: 1: why");
        assert_eq!(exit(127, &only), "retry exit status: 127: why", "it could not be started");
        assert_eq!(of(9, "1", Output::Json, &only), "retry signal: 9 (SIGKILL): why");
    }

    #[test]
    fn lists_of_codes_are_checked() {
        for (fatal, retry, field) in [(Some(vec![0]), None, "fatal_codes"), (None, Some(vec![256]), "retry_codes")] {
            assert!(Codes::new(fatal, retry).unwrap_err().starts_with(field));
        }
        assert!(Codes::new(Some(vec![1]), Some(vec![2])).unwrap_err().contains("not beside"));
    }
}
