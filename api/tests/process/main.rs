//! The binary: how it starts, fails, stops, and what it holds under attack.

/// Memory is what `/proc` says.
#[cfg(target_os = "linux")]
mod flood;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use local_pg::testing;
use local_redis::Server;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;

fn api(flags: &[&str], database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().env("DATABASE_URL", database).args(["--api-bind", "127.0.0.1:0", "--api-drain-delay", "0s"]);
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

/// Whoever may log in to the machine reads command lines.
#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    let nowhere = "postgresql://app@127.0.0.1:1/app";
    for flags in [
        &["--database-url=postgresql://app:s3cret@db/app"][..],
        &["--database-url", "postgresql://app:s3cret@db/app"],
        &["--database-direct-url=postgresql://app@db/app?password=s3cret"],
        &["--queue-backend=redis", "--redis-addr=redis://:s3cret@redis:6379"],
    ] {
        let line = failure(&api(flags, nowhere).output().unwrap(), 64);
        assert!(line.contains("holds a password") && line.contains("`ps`"), "{flags:?}: {line}");
        assert!(!line.contains("s3cret"), "{line}");
    }
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

#[test]
fn a_bad_queue_backend_is_one_line_and_exit_code_64() {
    let nowhere = "postgresql://app@127.0.0.1:1/app";
    let refused = |environment: &[(&str, &str)]| {
        let output = api(&[], nowhere).envs(environment.iter().copied()).output().unwrap();
        failure(&output, 64)
    };
    let line = refused(&[("QUEUE_BACKEND", "rabbit")]);
    assert!(line.contains("rabbit") && line.contains("postgres") && line.contains("redis"), "{line}");
    assert!(refused(&[("QUEUE_BACKEND", "redis")]).contains("REDIS_ADDR"));
    assert!(refused(&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "")]).contains("REDIS_ADDR"));
    for address in ["redis", "redis:port", "http://:secret@redis", "redis://:secret@redis/x", "unix:///secret"] {
        let line = refused(&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", address)]);
        assert!(line.starts_with("error: REDIS_ADDR must be host:port"), "{line}");
        assert!(!line.contains("secret"), "{line}");
    }
    let at = [("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "127.0.0.1:1")];
    for variable in ["REDIS_PASSWORD_FILE", "REDIS_CA_FILE"] {
        let line = refused(&[at[0], ("REDIS_ADDR", "rediss://127.0.0.1:1"), (variable, "/nowhere/file")]);
        assert!(line.contains(variable) && line.contains("/nowhere/file"), "{line}");
    }
}

/// Without a backend that needs it, nobody looks at where Redis is.
#[tokio::test]
async fn in_postgres_mode_the_address_of_redis_is_not_looked_at() {
    let database = testing::database().await;
    let mut child = api(&["--log-format", "json"], &database.api_url()).env("REDIS_ADDR", "nonsense").spawn().unwrap();
    address(&mut child);
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_for_redis_is_said_once_and_the_api_goes_on() {
    let database = testing::database().await;
    let redis = Server::with(&[("requirepass", "right")]).unwrap_or_else(|error| panic!("{error}"));
    let mut command = api(&["--log-format", "json", "--queue-backend", "redis"], &database.api_url());
    let mut child = command.env("REDIS_ADDR", redis.address()).env("REDIS_PASSWORD", "wrong-secret").spawn().unwrap();
    let (address, log) = address_and_log(&mut child);
    let get = async |path: &str| reqwest::get(format!("http://{address}{path}")).await.unwrap();

    // It tries again and again, in vain.
    let client = redis::Client::open(format!("redis://:right@{}", redis.address())).unwrap();
    let patient = redis::AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let stats: String = redis::cmd("INFO").arg("stats").query_async(&mut connection).await.unwrap();
        let tries = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        if tries.trim().parse::<u32>().unwrap() >= 5 {
            break;
        }
        assert!(Instant::now() < deadline, "it does not try again: {stats}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ready = get("/ready").await;
    assert_eq!(ready.status(), 503);
    let body: serde_json::Value = serde_json::from_str(&ready.text().await.unwrap()).unwrap();
    assert!(body["dependencies"]["redis"].as_str().unwrap().contains("authentication failed"), "{body}");
    assert_eq!(get("/live").await.status(), 200);

    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log: Vec<String> = log.join().unwrap();
    let of_redis: Vec<_> = log.iter().filter(|line| line.contains("authentication failed")).collect();
    assert_eq!(of_redis.len(), 1, "{log:#?}");
    assert!(of_redis[0].contains("redis") && of_redis[0].contains("WARN"), "{of_redis:?}");
    assert!(!log.iter().any(|line| line.contains("wrong-secret")), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_redis_hangs_stops_in_order() {
    let database = testing::database().await;
    let redis = Server::start().unwrap_or_else(|error| panic!("{error}"));
    let mut command = api(&["--log-format", "json", "--queue-backend", "redis"], &database.api_url());
    let mut child = command.env("REDIS_ADDR", redis.address()).spawn().unwrap();
    let (address, log) = address_and_log(&mut child);
    let client = reqwest::Client::new();
    let post = async || {
        let request = client.post(format!("http://{address}/tasks")).header("content-type", "application/json");
        request.body("1").send().await.unwrap().status()
    };
    while post().await != 201 {}
    redis.pause().unwrap();
    assert_eq!(post().await, 201);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log: Vec<String> = log.join().unwrap();
    assert!(log.last().is_some_and(|line| line.contains("stopped")), "{log:#?}");
    assert_eq!(stored(database.url()).await, 2);
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
    let mut child = api(&["--log-format", "json"], &database.api_url()).spawn().unwrap();
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

#[test]
fn a_bad_list_of_tokens_is_one_line_and_exit_code_64() {
    let nowhere = "postgresql://app@127.0.0.1:1/app";
    let refused = |environment: &[(&str, &str)]| {
        let line = failure(&api(&[], nowhere).envs(environment.iter().copied()).output().unwrap(), 64);
        assert!(!line.contains("0123456789"), "{line}");
        line
    };
    assert!(refused(&[("API_TOKENS_FILE", "/nowhere/tokens.toml")]).contains("API_TOKENS_FILE /nowhere/tokens.toml"));
    assert!(refused(&[("API_TOKENS_FILE", "")]).contains("--api-tokens-file"));
    assert!(refused(&[("API_TOKENS", "")]).contains("API_TOKENS: holds no token"));
    let secret =
        "[[token]]\nname = 'a'\nsha256 = 'taskrow_0123456789012345678901234567890123456789012'\nscopes = ['read']";
    assert!(refused(&[("API_TOKENS", secret)]).contains("token 1: sha256: is a secret itself"));
    assert!(refused(&[("API_TOKENS", "x"), ("API_TOKENS_FILE", "y")]).contains("cannot be used with"));
}

fn new_token(flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().args(["token", "new"]).args(flags).output().unwrap()
}

/// The secret and the entry in what `api token new` prints.
fn secret_and_entry(output: &Output) -> (String, String) {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let secret = text.lines().find(|line| line.starts_with("taskrow_")).unwrap().to_owned();
    (secret, text[text.find("[[token]]").unwrap()..].to_owned())
}

#[test]
fn a_new_token_with_a_bad_flag_is_one_line_and_exit_code_64() {
    for (flags, reason) in [
        (&["--name=ci"][..], "--scopes"),
        (&["--scopes=read"], "--name"),
        (&["--name=ci", "--scopes=write"], "a scope is submit, read, work or admin"),
        (&["--name=a b", "--scopes=read"], "--name: a name is 1 to 64"),
        (&["--name=ci", "--scopes=read", "--queues=a b"], "--queues: a name is 1 to 64"),
        (&["--name=ci", "--scopes=read", "--secret-file=/dev/null"], "--secret-file /dev/null"),
    ] {
        let line = failure(&new_token(flags), 64);
        assert!(line.contains(reason), "{flags:?}: {line}");
    }
}

#[test]
fn a_secret_goes_to_a_file_of_its_owner_or_to_the_output_and_nowhere_twice() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let flags = ["--name=ci", "--scopes=submit,read", "--queues=mail", "--secret-file", file.to_str().unwrap()];
    let output = new_token(&flags);
    let (secret, entry) = (std::fs::read_to_string(&file).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert!(entry.starts_with("[[token]]\nname = \"ci\"\nsha256 = \""), "{entry}");
    assert!(entry.ends_with("\"\nscopes = [\"submit\", \"read\"]\nqueues = [\"mail\"]\n"), "{entry}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    failure(&new_token(&flags), 64);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret, "not written over");
    let (one, two) = (new_token(&flags[..2]), new_token(&flags[..2]));
    assert_ne!(secret_and_entry(&one).0, secret_and_entry(&two).0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_or_an_answer() {
    let database = testing::database().await;
    let (secret, entry) = secret_and_entry(&new_token(&["--name=ci", "--scopes=admin"]));
    let (stranger, _) = secret_and_entry(&new_token(&["--name=ci", "--scopes=admin"]));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.toml");
    std::fs::write(&file, &entry).unwrap();
    let mut command = api(&["--log-format", "json", "--log-level", "trace"], database.url());
    let mut child = command.env("API_TOKENS_FILE", &file).spawn().unwrap();
    let (address, log) = address_and_log(&mut child);
    let client = reqwest::Client::new();
    let mut answers = String::new();
    let mut get = async |path: &str, token: &str| {
        let answer = client.get(format!("http://{address}{path}")).bearer_auth(token).send().await.unwrap();
        answers.push_str(&format!("{:?}", answer.headers()));
        answers.push_str(&answer.text().await.unwrap());
        answers.clone()
    };
    for token in [&secret, &stranger, &format!("{secret}x"), &"hunter2".to_owned()] {
        for path in ["/queues", "/metrics", "/nowhere", "/openapi.json"] {
            get(path, token).await;
        }
    }
    // An operator's mistake: the secret itself in the list.
    std::fs::write(&file, entry.replace("scopes", &format!("secret = \"{secret}\"\nscopes"))).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !get("/metrics", &secret).await.contains("\ntaskrow_api_tokens_stale 1") {
        assert!(Instant::now() < deadline, "the mistake is not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answers = get("/queues", &secret).await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = log.join().unwrap().join("\n");
    assert!(log.contains("cannot use the list of API tokens"), "{log}");
    for text in [&log, &answers] {
        for token in [&secret, &stranger] {
            assert!(!text.contains(&token["taskrow_".len()..]), "a secret is shown");
        }
        assert!(!text.contains("hunter2"));
    }
}

fn terminate(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    // The first of several clients that get here decides; later signals would mean "at once".
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| kill_process(pid, Signal::TERM).unwrap());
}

/// Where it serves, by its log.
fn address(child: &mut Child) -> String {
    address_and_log(child).0
}

/// Where it serves, and its whole log.
fn address_and_log(child: &mut Child) -> (String, JoinHandle<Vec<String>>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut log = Vec::new();
    let address = loop {
        let line = lines.next().unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        log.push(line);
        if event["message"] == "serving" {
            break event["address"].as_str().unwrap().to_owned();
        }
    };
    // Read on, or the process would block on a full pipe.
    (address, std::thread::spawn(move || log.into_iter().chain(lines).collect()))
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
