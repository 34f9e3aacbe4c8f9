//! The `migrate` binary: what it prints and how it exits.

use std::process::{Child, Command, Output, Stdio};

use schema::migrate::required_version;

use crate::support::empty;

/// Exit codes that the binary's help promises.
const DONE: i32 = 0;
const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;
const PENDING: i32 = 70;

/// The binary with an empty environment but for the database.
fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    command.env_clear().env("DATABASE_URL", url).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(url: &str, arguments: &[&str]) -> Child {
    command(url, arguments).spawn().unwrap()
}

fn run(url: &str, arguments: &[&str]) -> Output {
    command(url, arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asserts the code, and that standard error ends with one line that says why.
fn fails(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert_eq!(stderr.lines().last(), Some(errors[0]));
    errors[0].to_owned()
}

#[tokio::test]
async fn status_tells_before_and_after() {
    let empty = empty().await;
    let before = run(&empty.url, &["status"]);
    fails(&before, PENDING);
    assert_eq!(stdout(&before), format!("pending  {}\n", required_version()));
    assert_eq!(run(&empty.url, &[]).status.code(), Some(DONE));
    let after = run(&empty.url, &["status"]);
    assert_eq!(after.status.code(), Some(DONE));
    assert_eq!(stdout(&after), format!("applied  {}\n", required_version()));
    assert_eq!(run(&empty.url, &["revert"]).status.code(), Some(DONE));
    fails(&run(&empty.url, &["status"]), PENDING);
}

#[tokio::test]
async fn several_at_once_all_succeed() {
    let empty = empty().await;
    let migrators: Vec<_> = (0..4).map(|_| start(&empty.url, &[])).collect();
    for migrator in migrators {
        let output = migrator.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(DONE), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(run(&empty.url, &["status"]).status.code(), Some(DONE));
}

#[tokio::test]
async fn wait_ends_when_another_migrated() {
    let empty = empty().await;
    let waiting = start(&empty.url, &["--wait", "--deadline", "60s"]);
    assert_eq!(run(&empty.url, &[]).status.code(), Some(DONE));
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(DONE), "{}", String::from_utf8_lossy(&output.stderr));
    let applied_nothing = run(&empty.url, &["--wait"]);
    assert_eq!(applied_nothing.status.code(), Some(DONE));
}

#[tokio::test]
async fn wait_gives_up_at_its_deadline() {
    let empty = empty().await;
    let error = fails(&run(&empty.url, &["--wait", "--deadline", "300ms"]), UNAVAILABLE);
    assert!(error.contains(&required_version()), "{error}");
}

#[test]
fn a_database_that_is_away_is_unavailable_and_its_password_stays_secret() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&format!("postgresql://app:secret@{nobody}/app"), &["--deadline", "300ms"]);
    fails(&output, UNAVAILABLE);
    let text = format!("{}{}", stdout(&output), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn bad_configuration_is_one_line_and_64() {
    let good = "postgresql://app@127.0.0.1:1/app";
    for (url, arguments) in [
        ("mysql://app:secret@host/app", &[][..]),
        ("postgresql://app:secret@host:port/app", &[]),
        ("postgresql://app:secret@host/app?sslmode=maybe", &[]),
        ("postgresql://", &[]),
        (good, &["--no-such-flag"]),
        (good, &["no-such-command"]),
        (good, &["--deadline", "soon"]),
        (good, &["--days-ahead", "-1"]),
        (good, &["--postgres-password-file", "/nowhere/password"]),
        (good, &["--database-ca-file", "/nowhere/ca.pem", "--database-sslmode", "verify-full"]),
    ] {
        let output = run(url, arguments);
        let error = fails(&output, USAGE);
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!error.contains("secret") && stdout(&output).is_empty(), "{error}");
    }
}

#[test]
fn help_names_every_setting() {
    let output = run("", &["--help"]);
    assert_eq!(output.status.code(), Some(DONE));
    let help = stdout(&output);
    for name in [
        "DATABASE_URL",
        "DATABASE_HOST",
        "POSTGRES_PASSWORD_FILE",
        "MIGRATE_DEADLINE",
        "PARTITION_DAYS_AHEAD",
        "--wait",
    ] {
        assert!(help.contains(name), "{name}");
    }
}
