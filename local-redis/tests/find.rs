//! Which server is found, and what is said when none is.
//!
//! The environment is a process's own, so each case is a process of its own.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use local_redis::Installation;
use tempfile::TempDir;

/// Names what [`host`] does with its environment.
const HOST: &str = "LOCAL_REDIS_TEST_FIND";

/// Not a test by itself: the process in which the tests below search.
#[test]
#[expect(clippy::print_stdout, reason = "speaks to its parent")]
fn host() {
    #[expect(clippy::disallowed_methods, reason = "set by the tests below")]
    if std::env::var_os(HOST).is_none() {
        return;
    }
    match Installation::find() {
        Ok(found) => println!("\nanswer {} {} {}", found.program().display(), found.product(), found.version()),
        Err(error) => println!("\nanswer {error}"),
    }
}

/// What [`host`] finds when `TASKROW_REDIS_BIN` names that program.
fn find(program: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--nocapture"])
        .env(HOST, "1")
        .env("TASKROW_REDIS_BIN", program)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("answer ")).unwrap().to_owned()
}

/// A program that says that it is that server.
fn pretender(version: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("server");
    fs::write(&program, format!("#!/bin/sh\necho '{version} sha=0 bits=64'\n")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    (dir, program)
}

#[test]
fn the_program_that_is_named_is_taken() {
    let (_dir, program) = pretender("Valkey server v=8.1.8");
    assert_eq!(find(&program), format!("{} Valkey 8.1.8", program.display()));
}

#[test]
fn a_server_that_is_too_old_is_refused() {
    let (_dir, program) = pretender("Redis server v=6.2.14");
    assert_eq!(
        find(&program),
        format!(
            "{} is Redis 6.2.14, and Taskrow needs 7.0 or later: install a later one, or set TASKROW_REDIS_BIN to it",
            program.display()
        )
    );
}

#[test]
fn a_missing_program_is_one_clear_line() {
    let expected = "TASKROW_REDIS_BIN=/nowhere is not the program of a Redis or Valkey server";
    assert_eq!(find(Path::new("/nowhere")), expected);
    let (_dir, other) = pretender("Some other server v=8.0.0");
    assert!(find(&other).ends_with("is not the program of a Redis or Valkey server"));
}

#[test]
fn without_any_server_the_message_says_how_to_get_one() {
    let message = local_redis::Error::NotFound.to_string();
    assert!(message.contains("dev/setup.sh --redis") && message.contains("TASKROW_REDIS_BIN"), "{message}");
}

#[test]
fn a_product_can_be_asked_for() {
    for installation in support::installations() {
        assert_eq!(Installation::find_product(installation.product()).unwrap(), installation);
    }
}
