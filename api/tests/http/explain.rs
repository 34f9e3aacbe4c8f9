//! GET /tasks/{id}/explain: every reason there is.

use queue::{finish::Outcome, promote::promote, rescue::rescue};
use serde_json::Value;

use crate::support::{App, TestWorker, done};

/// What is explained of a task; also a snapshot of this name.
async fn explain(app: &App, id: &str, name: &str) -> Value {
    let answer = app.get(&format!("/tasks/{id}/explain")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let explained = answer.json();
    insta::assert_json_snapshot!(name, still(explained.clone()));
    explained
}

/// Without times and ids, which differ from run to run.
fn still(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, member)| (name, still(member))).collect(),
        Value::Array(items) => items.into_iter().map(still).collect(),
        Value::String(text) => text.split(' ').map(still_word).collect::<Vec<_>>().join(" ").into(),
        other => other,
    }
}

fn still_word(word: &str) -> String {
    let core = word.trim_matches([',', '.', ':', ';', '(', ')']);
    if chrono::DateTime::parse_from_rfc3339(core).is_ok() {
        word.replace(core, "[time]")
    } else if core.len() == 36 && core.matches('-').count() == 4 {
        word.replace(core, "[id]")
    } else {
        word.to_owned()
    }
}

/// Checks the reasons: the one that decides, and what else holds.
#[track_caller]
fn because(explained: &Value, status: &str, reason: &str, also: &[&str]) {
    assert_eq!(
        (explained["status"].as_str(), explained["reason"].as_str()),
        (Some(status), Some(reason)),
        "{explained}"
    );
    let sentence = explained["sentence"].as_str().unwrap();
    assert!(sentence.ends_with('.') && sentence.len() > 20, "{explained}");
    let others: Vec<_> =
        explained["also"].as_array().unwrap().iter().map(|other| other["reason"].as_str().unwrap()).collect();
    assert_eq!(others, also, "{explained}");
}

/// The worker is not heard of any more.
async fn die(app: &App, worker: &TestWorker) {
    // Nobody is found dead right after Postgres started.
    let sql = format!(
        "SELECT pg_sleep_until(pg_postmaster_start_time() + interval '10 seconds');
         UPDATE taskrow.workers SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE id = {}",
        worker.id.0
    );
    app.database.execute(&sql).await;
}

/// A worker takes everything, as soon as it is due, runs it for an hour, dies and is found dead.
async fn crash(app: &App) {
    let mut worker = TestWorker::register(&app.database).await;
    app.database.execute("UPDATE taskrow.scheduled SET run_at = clock_timestamp() - interval '1 second'").await;
    promote(&mut app.database.connect().await).await.unwrap();
    assert_eq!(worker.claim().await.len(), 1);
    app.database.execute("UPDATE taskrow.leases SET claimed_at = claimed_at - interval '1 hour'").await;
    die(app, &worker).await;
    rescue(&mut app.database.connect().await).await.unwrap();
}

#[tokio::test]
async fn waiting_without_anybody_to_take_it() {
    let app = App::start().await;
    let id = app.submit("", "1").await;
    let nobody = explain(&app, &id, "nobody_is_alive").await;
    because(&nobody, "queued", "no_worker", &[]);
    assert_eq!(nobody["workers"]["alive"], 0);

    TestWorker::register(&app.database).await;
    let other = app.submit("?kind=resize", "1").await;
    let others_only = explain(&app, &other, "nobody_takes_it").await;
    because(&others_only, "queued", "no_worker", &[]);
    let listed = &others_only["workers"]["listed"][0];
    assert_eq!(
        (&listed["kinds"][0], &listed["queues"][0], &listed["takes"]),
        (&"echo".into(), &"default".into(), &false.into())
    );

    app.post("/queues/default/pause").await;
    let paused = explain(&app, &other, "queue_paused").await;
    because(&paused, "queued", "queue_paused", &["no_worker"]);
    assert!(paused["since"].is_string());
}

#[tokio::test]
async fn waiting_for_its_turn() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let first = app.submit("", "1").await;
    let next = explain(&app, &first, "next").await;
    because(&next, "queued", "next", &[]);
    assert_eq!((&next["workers"]["taking"], &next["workers"]["slots"]), (&1.into(), &4.into()));
    let second = app.submit("", "1").await;
    app.submit("?priority=9", "1").await;
    let behind = explain(&app, &second, "behind").await;
    because(&behind, "queued", "behind", &[]);
    assert_eq!((&behind["tasks"], &behind["at_least"]), (&2.into(), &false.into()));
    worker.finish_all(|_| done("1")).await;
}

#[tokio::test]
async fn waiting_for_its_time() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let id = app.submit("?delay=1h", "1").await;
    let scheduled = explain(&app, &id, "scheduled").await;
    because(&scheduled, "scheduled", "scheduled", &[]);
    assert_eq!(scheduled["run_at"], app.get(&format!("/tasks/{id}")).await.json()["run_at"]);

    let id = app.submit("", "1").await;
    let claimed = worker.claim().await;
    worker.retry_later(&claimed[0], "421 try again\r\nlater").await;
    let retry = explain(&app, &id, "retry").await;
    because(&retry, "scheduled", "retry", &[]);
    assert_eq!((&retry["failed_attempt"], &retry["error"]), (&1.into(), &"421 try again\r\nlater".into()));
    assert!(!retry["sentence"].as_str().unwrap().contains('\n'));
    let attempt = &retry["attempts"][0];
    assert_eq!(
        (&attempt["outcome"], &attempt["worker_name"], &attempt["version"]),
        (&"failed".into(), &"tester".into(), &"1".into())
    );
    assert!(attempt["started_at"].is_string() && attempt["ended_at"].is_string(), "{attempt}");
}

#[tokio::test]
async fn held_by_a_worker() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let id = app.submit("?timeout=90s", "1").await;
    worker.claim().await;
    let running = explain(&app, &id, "running").await;
    because(&running, "processing", "running", &[]);
    let lease = &running["lease"];
    assert_eq!(
        (&lease["worker"], &lease["worker_name"], &lease["timeout_ms"]),
        (&worker.id.0.into(), &"tester".into(), &90_000.into())
    );
    assert!(lease["valid_until"].as_str() > running["as_of"].as_str(), "{running}");
    assert_eq!(
        (&running["attempts"][0]["outcome"], &running["attempts"][0]["ended_at"]),
        (&"running".into(), &Value::Null)
    );

    app.delete(&format!("/tasks/{id}")).await;
    because(&explain(&app, &id, "cancel_requested").await, "processing", "running", &["cancel_requested"]);

    let late = "UPDATE taskrow.workers SET heartbeat_at = clock_timestamp() - lease_ttl_ms * interval '0.7 ms'";
    app.database.execute(late).await;
    because(&explain(&app, &id, "worker_silent").await, "processing", "worker_silent", &["cancel_requested"]);
    die(&app, &worker).await;
    because(&explain(&app, &id, "worker_lost").await, "processing", "worker_lost", &["cancel_requested"]);
    app.database.execute("UPDATE taskrow.workers SET dead_at = clock_timestamp()").await;
    let lost = explain(&app, &id, "worker_found_dead").await;
    because(&lost, "processing", "worker_lost", &["cancel_requested"]);
    assert!(lost["lease"]["dead_at"].is_string());
}

#[tokio::test]
async fn what_kills_its_workers() {
    let app = App::start().await;
    let id = app.submit("?max_attempts=20", "1").await;
    crash(&app).await;
    crash(&app).await;
    let crashed = explain(&app, &id, "crashed").await;
    // It waits apart from those that it was held with.
    because(&crashed, "scheduled", "retry", &["no_worker", "crashed"]);
    assert_eq!((&crashed["also"][1]["crashes"], &crashed["also"][1]["limit"]), (&2.into(), &5.into()));
    for _ in 0..3 {
        crash(&app).await;
    }
    let aside = explain(&app, &id, "set_aside").await;
    because(&aside, "failed", "set_aside", &[]);
    let attempts = aside["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &aside["crashes"]), (5, &5.into()));
    assert!(
        attempts.iter().all(|attempt| attempt["outcome"] == "crashed" && attempt["worker_name"] == "tester"),
        "{aside}"
    );

    let id = app.submit("?max_attempts=1", "1").await;
    crash(&app).await;
    because(&explain(&app, &id, "died_at_last_attempt").await, "failed", "died_at_last_attempt", &[]);
}

#[tokio::test]
async fn what_has_ended() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let id = app.submit("", "1").await;
    worker.finish_all(|_| done("1")).await;
    let ended = explain(&app, &id, "done").await;
    because(&ended, "done", "done", &[]);
    assert_eq!(
        (&ended["attempts"][0]["outcome"], &ended["attempts"][0]["worker"]),
        (&"done".into(), &worker.id.0.into())
    );

    for (attempts, reason) in [("1", "attempts_used_up"), ("9", "failed_for_good")] {
        let id = app.submit(&format!("?max_attempts={attempts}"), "1").await;
        worker.finish_all(|_| Outcome::Failed("no such address".to_owned())).await;
        let failed = explain(&app, &id, reason).await;
        because(&failed, "failed", reason, &[]);
        assert_eq!(failed["error"], "no such address");
    }

    let id = app.submit("", "1").await;
    app.delete(&format!("/tasks/{id}")).await;
    let cancelled = explain(&app, &id, "cancelled_waiting").await;
    because(&cancelled, "cancelled", "cancelled_waiting", &[]);
    assert_eq!(cancelled["attempts"], Value::Array(vec![]));

    let id = app.submit("", "1").await;
    let claimed = worker.claim().await;
    app.delete(&format!("/tasks/{id}")).await;
    worker.finish(&claimed, |_| Outcome::Cancelled).await;
    because(&explain(&app, &id, "cancelled_running").await, "cancelled", "cancelled_running", &[]);
}

#[tokio::test]
async fn what_stands_nowhere() {
    let app = App::start().await;
    let id = app.submit("", "1").await;
    app.database.execute("DELETE FROM taskrow.ready").await;
    because(&explain(&app, &id, "missing").await, "queued", "missing", &[]);
    app.get("/tasks/019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40/explain").await.problem(404, "task-not-found");
    app.get("/tasks/1/explain").await.problem(404, "task-not-found");
    app.get(&format!("/tasks/{id}/explain?verbose=1")).await.problem(422, "invalid-option");
}
