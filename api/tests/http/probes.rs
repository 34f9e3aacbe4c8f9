//! /live, /ready and /metrics

use local_redis::Server;

use crate::support::{App, Setup, TestDb, TestWorker, eventually};

#[tokio::test]
async fn without_a_schema_the_api_lives_and_says_what_is_missing() {
    let app = Setup::default().on(TestDb::empty().await).not_ready().start().await;
    assert_eq!(app.get("/live").await.status, 200);
    eventually("the missing schema is named", || async {
        let ready = app.get("/ready").await;
        assert_eq!(ready.status, 503);
        ready.json()["dependencies"]["schema"].as_str().is_some_and(|text| text.contains("pending migrations"))
    })
    .await;
    assert_eq!(app.get("/ready").await.json()["dependencies"]["postgres"], "ok");
    for path in ["/tasks", "/queues", "/workers", "/tasks/019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40"] {
        app.get(path).await.problem(503, "database-unavailable");
    }
    let refused = app.post_json("/tasks", "1").await;
    refused.problem(503, "database-unavailable");
    assert!(!refused.text.contains("taskrow"), "no message of the database: {refused:?}");

    schema::migrate::up(&TestDb::at(app.database.url()), 1, std::time::Duration::from_secs(30)).await.unwrap();
    app.until_ready().await;
    app.submit("", "1").await;
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let app = App::start().await;
    let _worker = TestWorker::register(&app.database).await;
    app.submit("", "1").await;
    app.submit("?queue=q&delay=1h", "1").await;
    app.post_json("/tasks?nope=1", "1").await;
    app.post("/queues/q/pause").await;
    assert_eq!(app.metric("taskrow_api_submitted_tasks_total").await, Some(2.0));
    assert_eq!(app.metric("taskrow_ready").await, Some(1.0));
    assert_eq!(app.metric("taskrow_api_submit_buffer_tasks").await, Some(0.0));
    assert_eq!(app.metric("taskrow_api_submit_buffer_capacity_tasks").await, Some(20_000.0));
    for series in [
        r#"taskrow_api_http_requests_total{method="POST",route="/tasks",status="201"} 2"#,
        r#"taskrow_api_http_requests_total{method="POST",route="/tasks",status="422"} 1"#,
        r#"taskrow_api_http_request_duration_seconds_count{method="POST",route="/tasks"} 3"#,
        "taskrow_api_submit_duration_seconds_count 2",
        "taskrow_api_flush_tasks_count 2",
        r#"taskrow_queue_tasks{queue="default",kind="echo",status="queued"} 1"#,
        r#"taskrow_queue_tasks{queue="q",kind="echo",status="scheduled"} 1"#,
        r#"taskrow_queue_paused{queue="q"} 1"#,
        r#"taskrow_workers{queue="default"} 1"#,
    ] {
        eventually(series, || async { app.get("/metrics").await.text.contains(series) }).await;
    }
}

#[tokio::test]
async fn every_documented_metric_exists_and_every_metric_is_documented() {
    let redis = Server::start().unwrap_or_else(|error| panic!("{error}"));
    let app = Setup::default().beside(&redis).start().await;
    app.submit("", "1").await;
    app.get("/queues").await;
    let text = app.get("/metrics").await.text;
    let exposed: std::collections::BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let source = include_str!("../../src/metrics/mod.rs");
    for name in &exposed {
        let documented = name.strip_suffix("_bytes").filter(|name| name.contains("buffer")).map_or_else(
            || source.contains(&format!("`{name}`")) || source.contains(&format!("`{name}_total`")),
            |stem| source.contains(&format!("`{stem}_tasks`, `_bytes`")),
        );
        assert!(documented, "{name} is not in the table");
    }
    let rows = source.lines().filter(|line| line.starts_with("//! | `taskrow_")).count();
    assert_eq!(exposed.len(), rows + 2, "two rows hold two metrics: {exposed:?}");
}
