//! The `migrate` binary: what it prints and how it exits.

use std::process::{Child, Command, Output, Stdio};

use diesel_async::SimpleAsyncConnection;
use schema::migrate::{required_version, versions};

use crate::support::empty;

/// Exit codes that the binary's help promises.
const DONE: i32 = 0;
const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;
const PENDING: i32 = 70;
const FAILED: i32 = 70;

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

/// What `status` prints when all of these versions stand so.
fn all(state: &str, versions: &[String]) -> String {
    versions.iter().map(|version| format!("{state}  {version}\n")).collect()
}

#[tokio::test]
async fn status_tells_before_and_after() {
    let empty = empty().await;
    let versions = versions();
    let before = run(&empty.url, &["status"]);
    fails(&before, PENDING);
    assert_eq!(stdout(&before), all("pending", &versions));
    assert_eq!(run(&empty.url, &[]).status.code(), Some(DONE));
    let after = run(&empty.url, &["status"]);
    assert_eq!(after.status.code(), Some(DONE));
    assert_eq!(stdout(&after), all("applied", &versions));
    assert_eq!(run(&empty.url, &["revert"]).status.code(), Some(DONE));
    let reverted = run(&empty.url, &["status"]);
    fails(&reverted, PENDING);
    let (newest, rest) = versions.split_last().unwrap();
    assert_eq!(stdout(&reverted), all("applied", rest) + &format!("pending  {newest}\n"));
}

/// After a rollback of the code, the schema is one that this release does not know. It leaves that alone.
#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let empty = empty().await;
    assert_eq!(run(&empty.url, &[]).status.code(), Some(DONE));
    let newer = "INSERT INTO public.__diesel_schema_migrations (version) VALUES ('99991231000001')";
    empty.connect().await.batch_execute(newer).await.unwrap();
    let applied = "SELECT version FROM public.__diesel_schema_migrations";
    let before = empty.lines(applied).await;

    let again = run(&empty.url, &[]);
    assert_eq!(again.status.code(), Some(DONE));
    assert!(stdout(&again).contains("nothing to do"), "{}", stdout(&again));
    assert_eq!(run(&empty.url, &["--wait"]).status.code(), Some(DONE));
    let status = run(&empty.url, &["status"]);
    assert_eq!(status.status.code(), Some(DONE));
    assert_eq!(stdout(&status), all("applied", &versions()) + "applied  99991231000001 by another release\n");
    let error = fails(&run(&empty.url, &["revert"]), FAILED);
    assert!(error.contains("99991231000001"), "{error}");
    assert_eq!(empty.lines(applied).await, before);
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
