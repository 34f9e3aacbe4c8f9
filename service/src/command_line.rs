//! What must not stand on the command line: every user of a machine reads it, in `ps` or `/proc`.

use std::ffi::OsStr;

use crate::exit::Failure;

/// Refuses a setting that holds a secret and came as a flag. `variable` is where it may stand; the reason never quotes the value.
pub fn refuse_secret(variable: &str, value: &str) -> Result<(), Failure> {
    if !std::env::args_os().any(|argument| contains(&argument, value)) {
        return Ok(());
    }
    let flag = variable.to_lowercase().replace('_', "-");
    Err(Failure::usage(format!(
        "--{flag} holds a password, and every user of this machine can read it in `ps`: set the variable {variable}, or give the password apart"
    )))
}

fn contains(argument: &OsStr, value: &str) -> bool {
    let (bytes, value) = (argument.as_encoded_bytes(), value.as_bytes());
    !value.is_empty() && bytes.windows(value.len()).any(|window| window == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_wherever_it_stands() {
        let found = |argument: &str| contains(OsStr::new(argument), "postgresql://a:b@c/d");
        assert!(found("--database-url=postgresql://a:b@c/d") && found("postgresql://a:b@c/d"));
        assert!(!found("--database-url") && !found(""));
        assert!(!contains(OsStr::new("x"), ""));
    }
}
