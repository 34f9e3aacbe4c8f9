//! The binary: how it starts, fails and stops.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use local_pg::testing;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;

fn api(flags: &[&str], database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().args(["--api-bind", "127.0.0.1:0", "--api-drain-delay", "0s", "--database-url", database]);
    command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Asserts the exit code and that standard error is one line; returns it.
#[track_caller]
fn failure(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn a_bad_configuration_is_one_line_and_exit_code_64() {
    let nowhere = "postgresql://app@127.0.0.1:1/app";
    let output = api(&["--api-flushers", "0"], nowhere).output().unwrap();
    assert_eq!(failure(&output, 64), "error: API_FLUSHERS must be above zero");
    let output = api(&["--api-body-limit", "much"], nowhere).output().unwrap();
    assert!(failure(&output, 64).contains("--api-body-limit"));
    let output = api(&[], "mysql://app@127.0.0.1/app").output().unwrap();
    assert!(failure(&output, 64).contains("DATABASE_URL"));
}

fn load_test(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().arg("load-test").args(flags);
    command
}

#[test]
fn a_load_test_with_a_bad_flag_is_one_line_and_exit_code_64() {
    for (flags, reason) in [
        (&["--url=https://localhost:8080"][..], "https is not supported"),
        (&["--tasks=0"], "--tasks"),
        (&["--concurrency=1001"], "--concurrency"),
        (&["--deadline=soon"], "--deadline"),
        (&["--colour=red"], "--colour"),
    ] {
        let line = failure(&load_test(flags).output().unwrap(), 64);
        assert!(line.contains(reason), "{flags:?}: {line}");
    }
}

#[test]
fn a_load_test_needs_an_api_and_no_database() {
    let mut command = load_test(&["--url=http://127.0.0.1:1", "--deadline=1s"]);
    // With a server that is not there nothing can be reached; with a URL that is wrong a look at it would exit 64.
    let line = failure(&command.env("DATABASE_URL", "mysql://app@127.0.0.1/app").output().unwrap(), 69);
    assert!(line.contains("http://127.0.0.1:1/ was not ready within 1s") && line.contains("refused"), "{line}");
}

#[tokio::test]
async fn a_taken_port_is_one_line_and_exit_code_69() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command
        .env_clear()
        .env("API_BIND", format!("127.0.0.1:{port}"))
        .env("DATABASE_URL", "postgresql://a@127.0.0.1:1/a");
    let line = failure(&command.output().unwrap(), 69);
    assert!(line.contains(&format!("port {port} is taken")) && line.contains("API_BIND"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_that_was_acknowledged() {
    let database = testing::database().await;
    let mut child = api(&["--log-format", "json"], database.url()).spawn().unwrap();
    let address = address(&mut child);
    let client = reqwest::Client::new();
    let post = || {
        let request =
            client.post(format!("http://{address}/tasks")).header("content-type", "application/json").body("1");
        async move { request.send().await.ok().map(|answer| answer.status().as_u16()) }
    };
    // Until the schema was looked at and the first connection stands.
    while post().await != Some(201) {}
    let clients = (0..8).map(|_| async {
        let mut acknowledged = 0;
        while post().await == Some(201) {
            acknowledged += 1;
            if acknowledged == 50 {
                terminate(&child);
            }
        }
        acknowledged
    });
    let acknowledged: i64 = futures_util::future::join_all(clients).await.iter().sum();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let stored = stored(database.url()).await;
    assert!(stored > acknowledged, "{stored} stored, {acknowledged} and one acknowledged");
}

fn terminate(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    // The first of several clients that get here decides; later signals would mean "at once".
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| kill_process(pid, Signal::TERM).unwrap());
}

/// Where it serves, by its log.
fn address(child: &mut Child) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let serving = lines.find(|line| line["message"] == "serving").unwrap();
    // Read on, or the process would block on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    serving["address"].as_str().unwrap().to_owned()
}

async fn stored(url: &str) -> i64 {
    use diesel_async::RunQueryDsl;
    use service::database::{Database, Session};
    let mut connection = Database::from_url(url, "test").unwrap().connect(Session::POOL).await.unwrap();
    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>("(SELECT count(*) FROM tasks)"))
        .get_result(&mut connection)
        .await
        .unwrap()
}
