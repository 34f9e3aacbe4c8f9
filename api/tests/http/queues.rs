//! GET /queues, pause and resume

use crate::support::{App, TestWorker, eventually, redacted};

#[tokio::test]
async fn queues_show_what_waits_and_who_takes_it() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    app.submit("", "1").await;
    worker.claim().await;
    app.submit("", "1").await;
    app.submit("?delay=1h", "1").await;
    app.submit("?kind=unknown", "1").await;
    app.submit("?queue=a/b", "1").await;
    insta::assert_json_snapshot!("queues", redacted(app.get("/queues").await.json()));
}

#[tokio::test]
async fn a_paused_queue_is_not_claimed_from() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    app.submit("", "1").await;
    let paused = app.post("/queues/default/pause").await;
    assert_eq!(paused.status, 200, "{paused:?}");
    assert_eq!((&paused.json()["paused"], &paused.json()["queued"]), (&true.into(), &1.into()));
    assert_eq!(worker.claim().await.len(), 0);
    let again = app.post("/queues/default/pause").await.json();
    assert_eq!(again["paused_at"], paused.json()["paused_at"]);
    let resumed = app.post("/queues/default/resume").await.json();
    assert_eq!((&resumed["paused"], &resumed["paused_at"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(worker.claim().await.len(), 1);
}

#[tokio::test]
async fn any_queue_can_be_paused_before_its_first_task() {
    let app = App::start().await;
    let state = app.post("/queues/a%2Fb:c/pause").await.json();
    assert_eq!((state["name"].as_str(), state["paused"].as_bool()), (Some("a/b:c"), Some(true)));
    let state = app.post("/queues/never-paused/resume").await.json();
    assert_eq!((state["name"].as_str(), state["paused"].as_bool()), (Some("never-paused"), Some(false)));
    eventually("the list shows it", || async { app.get("/queues").await.text.contains("a/b:c") }).await;
}

#[tokio::test]
async fn however_many_ask_postgres_is_asked_once_a_second() {
    let app = App::start().await;
    app.database.execute("SELECT pg_stat_reset()").await;
    let answers = futures_util::future::join_all((0..50).map(|_| app.get("/queues"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let scans =
        "SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE schemaname = 'taskrow' AND relname = 'queues'";
    eventually("the scans are counted", || async { app.database.number(scans).await > 0 }).await;
    let scans = app.database.number(scans).await;
    assert!(scans <= 5, "{scans} scans for 50 requests");
}
