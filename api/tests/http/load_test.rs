//! `api load-test`, the real process, against an API in this one.

use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

use api::config::Size;
use queue::{TaskId, claim::Claimed, finish::Outcome};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use service::tokens::Scope;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::{Clients, Proxy, Setup, TestDb, TestWorker, done, eventually};

/// A load test under way.
struct Run {
    pid: Pid,
    ended: JoinHandle<Ended>,
}

/// A load test that is over.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stderr: String,
    log: Vec<Value>,
}

impl Run {
    fn start(url: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
        command.env_clear().args(["load-test", "--log-format=json", "--url", url]).args(flags);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let ended = tokio::task::spawn_blocking(move || Ended::new(&child.wait_with_output().unwrap()));
        Self { pid, ended }
    }

    async fn end(self) -> Ended {
        self.ended.await.unwrap()
    }

    /// Its end, while a worker runs whatever there is.
    async fn end_with_worker(self, database: &TestDb, outcome: impl Fn(TaskId) -> Outcome) -> Ended {
        let mut worker = TestWorker::register(database).await;
        let work = async {
            loop {
                worker.finish_all(&outcome).await;
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = self.end() => ended,
            () = work => unreachable!("it works until the end"),
        }
    }
}

impl Ended {
    fn new(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let log =
            stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        Self {
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            log: log.collect(),
        }
    }

    /// Asserts the exit code and that standard error is one line, which holds all of this.
    #[track_caller]
    fn failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part}: {self:?}");
        }
    }

    /// The last line of the log.
    #[track_caller]
    fn summary(&self) -> &Value {
        let last = self.log.last().unwrap();
        assert!(last["message"].as_str().unwrap().ends_with(" final"), "{self:?}");
        last
    }

    /// A number of the summary.
    #[track_caller]
    fn number(&self, name: &str) -> i64 {
        self.summary()[name].as_i64().unwrap_or_else(|| panic!("{name}: {self:?}"))
    }
}

/// Claims until it holds so many tasks.
async fn claim_all(worker: &mut TestWorker, tasks: usize) -> Vec<Claimed> {
    let mut claimed = Vec::new();
    let claim = async {
        while claimed.len() < tasks {
            claimed.extend(worker.claim().await);
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), claim).await.expect("the load test submits");
    claimed
}

/// How many tasks of load tests the database has, and how many different ones were meant.
async fn stored(database: &TestDb) -> (i64, i64) {
    let of_tests = "FROM tasks WHERE payload ? 'load_test'";
    let all = database.number(&format!("SELECT count(*) {of_tests}")).await;
    (all, database.number(&format!("SELECT count(DISTINCT payload->>'n') {of_tests}")).await)
}

#[tokio::test]
async fn all_tasks_are_counted_by_their_outcomes_and_nobody_elses() {
    let app = Setup::default().start().await;
    for _ in 0..30 {
        app.submit("", r#""of another client""#).await;
    }
    // More than one page of the list, and tasks of others in between and behind.
    let run = Run::start(&format!("http://{}/", app.address), &["--tasks=700", "--concurrency=8"]);
    let ended = run.end_with_worker(&app.database, |id| match id.uuid().as_u128() % 3 {
        0 => done("1"),
        1 => Outcome::Failed("on purpose".to_owned()),
        _ => Outcome::Cancelled,
    });
    let ended = ended.await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.summary()["message"], "700 of 700 final");
    for status in ["done", "failed", "cancelled"] {
        let count = format!("SELECT count(*) FROM tasks WHERE status = '{status}' AND payload ? 'load_test'");
        assert_eq!(ended.number(status), app.database.number(&count).await, "{status}: {ended:?}");
    }
    for (name, count) in [("missing", 0), ("not_final", 0), ("requests", 700), ("retries", 0), ("unknown", 0)] {
        assert_eq!(ended.number(name), count, "{name}: {ended:?}");
    }
    for name in
        ["submits_per_second", "tasks_per_second", "submit_p50_ms", "submit_p99_ms", "final_p50_ms", "final_p99_ms"]
    {
        assert!(ended.summary()[name].as_f64().is_some_and(|value| value > 0.0), "{name}: {ended:?}");
    }
    let progress = ended.log.iter().find(|line| line["message"] == "progress").unwrap();
    for name in ["queued", "processing", "accepted", "final"] {
        assert!(progress[name].is_u64(), "{name}: {progress}");
    }
}

#[tokio::test]
async fn requests_whose_answers_are_lost_are_unknown_and_no_task_counts_twice() {
    let first = Setup::default().start().await;
    let database = first.database.clone();
    let front = Proxy::before_api(first.address).await;
    let blocked = database.block().await;
    let run = Run::start(&front.url(), &["--tasks=60", "--concurrency=4"]);
    eventually("a submit waits in Postgres", || async { database.waiting().await >= 1 }).await;
    // The API is gone with the answers; the commit under way is not. Then there is another one.
    front.cut();
    let second = Setup::default().on(database.clone()).start().await;
    front.mend_to(second.address.to_string());
    blocked.release().await;
    let ended = run.end_with_worker(&database, |_| done("1")).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((ended.number("done"), ended.number("missing")), (60, 0), "{ended:?}");
    let (unknown, (stored, different)) = (ended.number("unknown"), stored(&database).await);
    assert!(unknown >= 1 && ended.number("requests") >= 60 + unknown, "{ended:?}");
    assert_eq!(different, 60);
    assert!(stored > 60 && stored <= 60 + unknown, "{stored} stored: {ended:?}");
}

#[tokio::test]
async fn an_outage_of_postgres_in_the_middle_loses_nothing() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let setup = Setup::with(|args| args.http.request_timeout = Duration::from_secs(2).into());
    let app = setup.through(&proxy).on(database.clone()).start().await;
    let blocked = database.block().await;
    let run = Run::start(&format!("http://{}", app.address), &["--tasks=60", "--concurrency=4"]);
    eventually("a submit waits in Postgres", || async { database.waiting().await >= 1 }).await;
    proxy.cut();
    eventually("submits are refused", || async {
        let metrics = app.get("/metrics").await.text;
        metrics.lines().any(|line| line.starts_with("taskrow_api_submit_refused_total") && !line.ends_with(" 0"))
    })
    .await;
    proxy.mend();
    blocked.release().await;
    let ended = run.end_with_worker(&database, |_| done("1")).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((ended.number("done"), ended.number("missing")), (60, 0), "{ended:?}");
    assert!(ended.number("retries") >= 1, "{ended:?}");
    let (stored, different) = stored(&database).await;
    assert_eq!(different, 60);
    assert!(stored <= 60 + ended.number("unknown"), "{stored} stored: {ended:?}");
}

#[tokio::test]
async fn a_task_that_is_gone_is_named_and_exits_70() {
    let app = Setup::default().start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let run = Run::start(&format!("http://{}", app.address), &["--tasks=20"]);
    let mut claimed = claim_all(&mut worker, 20).await;
    let lost = claimed.swap_remove(7);
    app.database.execute(&format!("DELETE FROM taskrow.records WHERE id = '{}'", lost.id)).await;
    worker.finish(&claimed, |_| done("1")).await;
    let ended = run.end().await;
    ended.failed(70, &["missing: 1", &lost.id.to_string()]);
    assert_eq!((ended.number("done"), ended.number("missing"), ended.number("not_final")), (19, 1, 0));
}

#[tokio::test]
async fn a_task_that_does_not_end_by_the_deadline_is_named_and_exits_70() {
    let app = Setup::default().start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let run = Run::start(&format!("http://{}", app.address), &["--tasks=20", "--deadline=12s"]);
    let mut claimed = claim_all(&mut worker, 20).await;
    let endless = claimed.swap_remove(7);
    worker.finish(&claimed, |_| done("1")).await;
    let ended = run.end().await;
    ended.failed(70, &["deadline", "not final: 1", &endless.id.to_string()]);
    assert_eq!((ended.number("done"), ended.number("not_final")), (19, 1), "{ended:?}");
}

#[tokio::test]
async fn an_api_that_is_away_at_the_deadline_exits_69() {
    let app = Setup::default().start().await;
    let front = Proxy::before_api(app.address).await;
    let run = Run::start(&front.url(), &["--tasks=5", "--deadline=12s"]);
    eventually("all are stored", || async { stored(&app.database).await.0 == 5 }).await;
    front.cut();
    let ended = run.end().await;
    ended.failed(69, &["deadline", "the API is away"]);
    assert_eq!(ended.number("done"), 0);
}

#[tokio::test]
async fn an_api_that_never_gets_ready_exits_69_and_says_why() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    proxy.cut();
    let app = Setup::default().through(&proxy).on(database).not_ready().start().await;
    let ended = Run::start(&format!("http://{}", app.address), &["--deadline=2s"]).end().await;
    ended.failed(69, &["not ready within 2s", "HTTP 503", "postgres"]);
    let waits = ended.log.iter().filter(|line| line["message"].as_str().unwrap().starts_with("waiting for /ready"));
    assert_eq!(waits.count(), 1, "{ended:?}");
    assert_eq!(stored(&app.database).await.0, 0);
}

#[tokio::test]
async fn a_refusal_for_good_ends_it_with_70() {
    let app = Setup::with(|args| args.http.body_limit = Size::of_bytes(10)).start().await;
    let ended = Run::start(&format!("http://{}", app.address), &[]).end().await;
    ended.failed(70, &["POST /tasks: HTTP 413", "Payload too large"]);
}

#[tokio::test]
async fn a_signal_stops_it_with_a_summary_and_70() {
    let app = Setup::default().start().await;
    let run = Run::start(&format!("http://{}", app.address), &["--tasks=5"]);
    eventually("all are stored", || async { stored(&app.database).await.0 == 5 }).await;
    kill_process(run.pid, Signal::TERM).unwrap();
    let ended = run.end().await;
    ended.failed(70, &["stopped by a signal"]);
    assert_eq!(ended.number("done"), 0);
}

#[tokio::test]
async fn an_api_that_asks_for_tokens_is_given_one() {
    let mut clients = Clients::default();
    let secret = clients.add("load-test", &[Scope::Submit, Scope::Read], None);
    let app = Setup::default().guarded(clients.args()).start().await;
    let url = format!("http://{}", app.address);
    let refused = Run::start(&url, &["--tasks=1"]).end().await;
    refused.failed(70, &["HTTP 401", "Unauthorized"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{}\n", secret.reveal())).unwrap();
    let flag = format!("--token-file={}", file.display());
    let ended = Run::start(&url, &["--tasks=20", &flag]).end_with_worker(&app.database, |_| done("1")).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    std::fs::write(&file, "hunter2").unwrap();
    let refused = Run::start(&url, &["--tasks=1", &flag]).end().await;
    refused.failed(64, &["--token-file", "holds no API token"]);
    assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
}
