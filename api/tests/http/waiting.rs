//! Waiting for a task to end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use queue::finish::Outcome;
use reqwest::{Method, RequestBuilder};
use service::tasks::Tasks;
use tokio::task::JoinHandle;

use crate::support::{Answer, App, Proxy, Setup, TestDb, TestWorker, done, eventually, read_to_end};

/// Longer than any of these tests waits for anything.
const LONG: &str = "?wait=60s";

fn background(request: RequestBuilder) -> JoinHandle<Answer> {
    Tasks::new().spawn(Answer::of(request))
}

async fn until_waiting(app: &App, waiters: usize) {
    let waiting = Some(waiters as f64);
    eventually("they wait", || async { app.metric("taskrow_api_waiters").await == waiting }).await;
}

/// Asks for a task by this path as soon as it ends.
fn read(app: &App, path: &str) -> JoinHandle<Answer> {
    background(app.request(Method::GET, path))
}

/// The task has ended so, and it was waited for.
#[track_caller]
fn ended(answer: &Answer, status: &str) {
    assert!(answer.status.is_success(), "{answer:?}");
    assert_eq!(answer.json()["status"], status, "{answer:?}");
    assert!(answer.header("preference-applied").starts_with("wait="), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_answers_all_who_wait_over_two_apis() {
    let database = TestDb::migrated().await;
    let (one, two) = (Setup::default().on(database.clone()).start().await, Setup::default().on(database).start().await);
    let mut worker = TestWorker::register(&one.database).await;
    for outcome in [done("[1]"), Outcome::Failed("broken".to_owned()), Outcome::Cancelled] {
        let submitted = background(one.json("/tasks", "7").header("Prefer", "respond-async, wait=60"));
        until_waiting(&one, 1).await;
        let claimed = worker.claim().await;
        let path = format!("/tasks/{}", claimed[0].id);
        let waiting: Vec<_> = (0..8)
            .map(|n| if n % 2 == 0 { &one } else { &two })
            .map(|app| read(app, &format!("{path}{LONG}")))
            .collect();
        until_waiting(&one, 5).await;
        until_waiting(&two, 4).await;
        worker.finish(&claimed, |_| outcome.clone()).await;
        let status = outcome.status().as_str();
        let plain = one.get(&path).await;
        for answer in join_all(waiting).await {
            let answer = answer.unwrap();
            ended(&answer, status);
            assert_eq!((&answer.text, answer.header("etag")), (&plain.text, plain.header("etag")));
        }
        let submitted = submitted.await.unwrap();
        ended(&submitted, status);
        assert_eq!((submitted.status.as_u16(), submitted.header("location")), (201, path.as_str()));
        assert_eq!((&submitted.text, submitted.header("etag")), (&plain.text, plain.header("etag")));
        assert_eq!(submitted.header("preference-applied"), "wait=60");
    }
    for app in [&one, &two] {
        assert_eq!(app.metric("taskrow_api_waiters").await, Some(0.0));
    }
}

#[tokio::test]
async fn what_has_ended_and_what_does_not_exist_is_answered_at_once() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    worker.finish_all(|_| done("2")).await;
    let answer = app.get(&format!("{path}{LONG}")).await;
    ended(&answer, "done");
    assert_eq!(answer.header("preference-applied"), "wait=60");
    let known = app.request(Method::GET, &format!("{path}{LONG}")).header("If-None-Match", answer.header("etag"));
    assert_eq!(Answer::of(known).await.status, 304);
    let unknown = app.get(&format!("/tasks/019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40{LONG}")).await;
    unknown.problem(404, "task-not-found");
    assert_eq!(app.metric("taskrow_api_look_tasks_count").await, Some(0.0), "nobody had to wait");
}

#[tokio::test]
async fn who_waits_in_vain_gets_the_task_as_it_stands() {
    let app = App::start().await;
    let path = format!("/tasks/{}", app.submit("?delay=1h", "1").await);
    let plain = app.get(&path).await;
    let asked = Instant::now();
    let answer = app.get(&format!("{path}?wait=0.5")).await;
    assert!(asked.elapsed() >= Duration::from_millis(500));
    assert_eq!((answer.status.as_u16(), &answer.text), (200, &plain.text));
    assert_eq!(answer.header("preference-applied"), "wait=0.5");
    let changed = app.request(Method::GET, &format!("{path}?wait=100ms"));
    assert_eq!(Answer::of(changed.header("If-None-Match", plain.header("etag"))).await.status, 304);
    let at_once = Answer::of(app.request(Method::GET, &path).header("Prefer", "wait=0")).await;
    assert_eq!(at_once.header("preference-applied"), "wait=0");

    let submitted = app.post_json("/tasks?wait=100ms", "1").await;
    assert_eq!((submitted.status.as_u16(), submitted.header("preference-applied")), (201, "wait=0.1"));
    let body = submitted.json();
    assert_eq!((&body["status"], body.get("payload")), (&"queued".into(), None), "the usual answer");
    assert_eq!(submitted.header("etag"), "");
    assert_eq!(app.get(submitted.header("location")).await.json()["id"], body["id"]);
}

#[tokio::test]
async fn a_wish_that_cannot_be_read_is_refused_as_an_option_and_ignored_as_a_preference() {
    let app = App::start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    for bad in ["soon", "", "-1", "NaN"] {
        assert_eq!(app.get(&format!("{path}?wait={bad}")).await.problem(422, "invalid-option")["option"], "wait");
        let posted = app.post_json(&format!("/tasks?wait={bad}"), "1").await;
        assert_eq!(posted.problem(422, "invalid-option")["option"], "wait");
        let answer = Answer::of(app.request(Method::GET, &path).header("Prefer", format!("wait={bad}"))).await;
        assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (200, ""));
    }
    assert_eq!(app.get(&format!("{path}?wiat=1")).await.problem(422, "invalid-option")["option"], "wiat");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
}

#[tokio::test]
async fn without_a_place_the_answer_comes_at_once_and_says_so() {
    let app = Setup::with(|args| args.wait.waiters = 1).start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let waiting = read(&app, &format!("{path}{LONG}"));
    until_waiting(&app, 1).await;
    let refused = app.get(&format!("{path}{LONG}")).await;
    assert_eq!((refused.status.as_u16(), refused.header("preference-applied")), (200, ""));
    assert_eq!(refused.json()["status"], "queued");
    let refused = app.post_json(&format!("/tasks{LONG}"), "1").await;
    assert_eq!((refused.status.as_u16(), refused.header("preference-applied")), (201, ""));
    assert_eq!(app.metric("taskrow_api_waits_refused_total").await, Some(2.0));
    worker.finish_all(|_| done("2")).await;
    ended(&waiting.await.unwrap(), "done");
}

#[tokio::test]
async fn a_client_that_hangs_up_gives_its_place_up() {
    let app = App::start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let reader = app.raw(&format!("GET {path}{LONG} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    let submitter = app
        .raw("POST /tasks HTTP/1.1\r\nhost: a\r\nprefer: wait=60\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n1")
        .await;
    until_waiting(&app, 2).await;
    drop((reader, submitter));
    until_waiting(&app, 0).await;
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 2);
    // From then on nothing is asked.
    let looks = app.metric("taskrow_api_look_tasks_count").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(app.metric("taskrow_api_look_tasks_count").await, looks);
}

#[tokio::test]
async fn a_stop_answers_all_who_wait_and_lets_nobody_wait_any_more() {
    let setup = Setup::with(|args| args.drain.drain_delay = Duration::from_secs(600).into());
    let app = setup.start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let waiting = read(&app, &format!("{path}{LONG}"));
    let submitted = background(app.json(&format!("/tasks{LONG}"), "1"));
    let mut follower = app.raw(&format!("GET {path}/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
    until_waiting(&app, 3).await;
    app.stop.cancel();
    for (answer, status) in [(waiting.await.unwrap(), 200), (submitted.await.unwrap(), 201)] {
        assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (status, ""));
        assert_eq!((&answer.json()["status"], answer.header("connection")), (&"queued".into(), "close"));
    }
    read_to_end(&mut follower).await;
    let late = app.get(&format!("{path}{LONG}")).await;
    assert_eq!((late.status.as_u16(), late.header("preference-applied")), (200, ""));
    assert_eq!(app.metric("taskrow_api_waits_refused_total").await, Some(0.0), "that is no lack of places");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_while_somebody_waits_goes_unnoticed() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let app = Setup::default().through(&proxy).on(database).start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let waiting = read(&app, &format!("{path}{LONG}"));
    let submitted = background(app.json(&format!("/tasks{LONG}"), "1"));
    until_waiting(&app, 2).await;
    proxy.cut();
    eventually("looks fail", || async { app.metric("taskrow_api_look_failures_total").await >= Some(2.0) }).await;
    // They ended while nobody could look.
    worker.finish_all(|_| done("2")).await;
    proxy.mend();
    ended(&waiting.await.unwrap(), "done");
    ended(&submitted.await.unwrap(), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_outlasts_the_wait_is_an_error_for_readers_only() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let setup = Setup::with(|args| args.http.request_timeout = Duration::from_secs(2).into());
    let app = setup.through(&proxy).on(database).start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let waiting = read(&app, &format!("{path}?wait=3"));
    let submitted = background(app.json("/tasks?wait=3", "1"));
    until_waiting(&app, 2).await;
    proxy.cut();
    waiting.await.unwrap().problem(503, "database-unavailable");
    let submitted = submitted.await.unwrap();
    assert_eq!((submitted.status.as_u16(), &submitted.json()["status"]), (201, &"queued".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_wait_share_few_statements_and_all_are_answered() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let submitted: Vec<_> = (0..200).map(|n| background(app.json(&format!("/tasks{LONG}"), n.to_string()))).collect();
    until_waiting(&app, 200).await;
    let (asked, started) = (app.metric("taskrow_api_look_tasks_count").await.unwrap(), Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let statements = app.metric("taskrow_api_look_tasks_count").await.unwrap() - asked;
    let most = started.elapsed().as_millis() as f64 / 4.0 + 1.0;
    assert!(statements <= most, "{statements} statements, at most {most} fit in");
    worker.finish_all(|id| done(&format!("\"{id}\""))).await;
    let mut ids = BTreeSet::new();
    for answer in join_all(submitted).await {
        let answer = answer.unwrap();
        ended(&answer, "done");
        assert_eq!(answer.json()["result"], answer.json()["id"], "each gets its own");
        ids.insert(answer.json()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 200);
}

#[tokio::test]
async fn answers_that_waited_are_counted_and_not_timed() {
    let app = App::start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    app.get(&format!("{path}?wait=50ms")).await;
    app.get(&path).await;
    let metrics = app.get("/metrics").await.text;
    let counted = |name: &str| {
        let start = format!("{name}{{method=\"GET\",route=\"/tasks/{{id}}\"");
        let line =
            metrics.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{start}: {metrics}"));
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    assert_eq!(counted("taskrow_api_http_requests_total"), "2");
    assert_eq!(counted("taskrow_api_http_request_duration_seconds_count"), "1");
}
