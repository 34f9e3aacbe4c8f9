//! PATCH /queues/{name}: queues that take no more while too much waits

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, App, Proxy, Setup, TestDb, TestWorker, done, eventually};

async fn limit(app: &App, queue: &str, limits: &str) -> Answer {
    let request = app.request(Method::PATCH, &format!("/queues/{queue}"));
    let answer = Answer::of(request.header("content-type", "application/json").body(limits.to_owned())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Submits until the queue is full: limits are soft. The problem is returned.
async fn full(app: &App, queue: &str) -> serde_json::Value {
    let path = format!("/tasks?queue={queue}");
    eventually("the queue is full", || async { app.post_json(&path, "1").await.status == 429 }).await;
    app.post_json(&path, "1").await.problem(429, "queue-full")
}

#[tokio::test]
async fn a_deep_queue_refuses_until_it_is_worked_off() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let set = limit(&app, "default", r#"{"max_depth": 3}"#).await.json();
    assert_eq!((&set["max_depth"], &set["max_age_seconds"]), (&json!(3), &json!(null)));
    let problem = full(&app, "default").await;
    assert_eq!(problem["queue"], "default");
    assert!(problem["queued"].as_u64().unwrap() >= 3 && problem["oldest_wait_seconds"].is_number(), "{problem}");
    assert!(problem["detail"].as_str().unwrap().ends_with("of 3 that may"), "{problem}");
    app.submit("?queue=other", "1").await;
    // A batch goes in as a whole or not at all.
    let stored = app.database.number("SELECT count(*) FROM tasks").await;
    let batch = r#"[{"payload": 1, "queue": "other"}, {"payload": 1}]"#;
    app.post_json("/tasks/batch", batch).await.problem(429, "queue-full");
    app.post_json("/tasks?delay=1h", "1").await.problem(429, "queue-full");
    app.post_json("/tasks?unique_key=a", "1").await.problem(429, "queue-full");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, stored);
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("taskrow_api_submit_refused_total{reason=\"queue_full\"}"), "{metrics}");

    worker.finish_all(|_| done("1")).await;
    eventually("it takes tasks again", || async { app.post_json("/tasks", "1").await.status == 201 }).await;
}

#[tokio::test]
async fn an_old_queue_refuses_and_without_limits_it_takes_all() {
    let app = App::start().await;
    limit(&app, "mail", r#"{"max_age": "1h", "kinds": ["echo"]}"#).await;
    app.submit("?queue=mail", "1").await;
    app.database.execute("UPDATE taskrow.ready SET ready_at = ready_at - interval '2 hours'").await;
    let problem = full(&app, "mail").await;
    assert!(problem["oldest_wait_seconds"].as_f64().unwrap() >= 7200.0, "{problem}");
    let off = limit(&app, "mail", r#"{"max_age": null}"#).await.json();
    assert_eq!((&off["max_age_seconds"], &off["accepts"]), (&json!(null), &json!(["echo"])), "other settings stay");
    eventually("it takes tasks", || async { app.post_json("/tasks?queue=mail", "1").await.status == 201 }).await;
}

#[tokio::test]
async fn what_was_stored_is_answered_by_its_key_also_when_the_queue_is_full() {
    let app = App::start().await;
    let submit = |path: &'static str, key: &'static str, body: &'static str| {
        Answer::of(app.json(path, body).header("idempotency-key", key))
    };
    let first = submit("/tasks", "one", "1").await;
    let batch = submit("/tasks/batch", "many", r#"[{"payload": 1}]"#).await;
    assert_eq!((first.status, batch.status), (201.try_into().unwrap(), 201.try_into().unwrap()));
    limit(&app, "default", r#"{"max_depth": 1}"#).await;
    full(&app, "default").await;
    let again = submit("/tasks", "one", "1").await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (200, &first.json()["id"]));
    let again = submit("/tasks/batch", "many", r#"[{"payload": 1}]"#).await;
    assert_eq!((again.status.as_u16(), &again.json()["tasks"][0]["id"]), (200, &batch.json()["tasks"][0]["id"]));
    submit("/tasks", "one", "2").await.problem(422, "idempotency-key-reused");
    submit("/tasks", "another", "1").await.problem(429, "queue-full");
    submit("/tasks/batch", "others", r#"[{"payload": 1}]"#).await.problem(429, "queue-full");
}

#[tokio::test]
async fn every_process_refuses_and_psql_is_followed() {
    let database = TestDb::migrated().await;
    let [one, other] =
        [Setup::default().on(database.clone()).start().await, Setup::default().on(database.clone()).start().await];
    limit(&one, "default", r#"{"max_depth": 2}"#).await;
    for app in [&one, &other] {
        full(app, "default").await;
    }
    database.execute("UPDATE taskrow.queues SET max_depth = 1000000").await;
    for app in [&one, &other] {
        eventually("psql is followed", || async { app.post_json("/tasks", "1").await.status == 201 }).await;
    }
}

#[tokio::test]
async fn the_last_look_holds_while_postgres_is_away() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let app = Setup::default().on(database).through(&proxy).start().await;
    limit(&app, "default", r#"{"max_depth": 1}"#).await;
    full(&app, "default").await;
    proxy.cut();
    eventually("it is missed", || async { app.get("/ready").await.status == 503 }).await;
    app.post_json("/tasks", "1").await.problem(429, "queue-full");
    assert_eq!(app.post_json("/tasks?queue=other", "1").await.status, 503);
}
