//! Postgres goes away and comes back.

use std::time::Duration;

use local_pg::{Server, StopMode, testing};
use queue::Status;
use schema::migrate;
use tokio::task::spawn_blocking;
use worker::WorkerConfig;

use crate::support::{
    eventually,
    queue::{Queue, task, tasks},
    worker::{builtin, config, slots, start},
};

async fn restarts_under_load(end: impl Fn(&mut Server) + Copy + Send + 'static) {
    // What was acknowledged must survive an immediate stop.
    let mut server = spawn_blocking(|| testing::server_with(&[("fsync", "on")])).await.expect("a server");
    let queue = Queue::on(&server).await;
    let worker = start(builtin(), slots(10), queue.servers());
    let mut ids = queue.submit(tasks(1500, "sleep", r#"{"ms": 5}"#)).await;
    let done = "SELECT count(*) FROM taskrow.outcomes";
    for round in 1..=3 {
        eventually("it is in the middle of it", async || (queue.count(done).await > round * 150).then_some(())).await;
        server = spawn_blocking(move || {
            end(&mut server);
            server
        })
        .await
        .expect("stopped");
        worker.misses("postgres").await;
        server = spawn_blocking(move || {
            server.start().expect("starts again");
            server
        })
        .await
        .expect("started");
        worker.ready().await;
        ids.extend(queue.submit(tasks(50, "echo", "1")).await);
    }
    for task in queue.ended(&ids).await {
        assert_eq!(task.status, Status::Done, "{task:?}");
    }
    assert_eq!(queue.count(done).await, 1650, "one outcome each");
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.failures").await, 0);
    worker.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_restart_under_load_loses_nothing() {
    restarts_under_load(|server| server.stop(StopMode::Fast).expect("stops")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_restart_under_load_loses_nothing() {
    restarts_under_load(|server| server.stop(StopMode::Immediate).expect("stops")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_postmaster_under_load_loses_nothing() {
    restarts_under_load(|server| server.kill().expect("dies")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_the_schema() {
    let queue = Queue::empty().await;
    let worker = start(builtin(), config(), queue.servers());
    let report = eventually("it reaches the database", async || {
        let report = worker.readiness.report();
        report.dependencies["postgres"].is_ok().then_some(report)
    })
    .await;
    assert!(!report.ready);
    let reason = report.dependencies["schema"].as_ref().expect_err("nothing is migrated");
    assert_eq!(*reason, format!("pending migrations: {}", migrate::versions().join(", ")));
    migrate::up(&queue.database(), 1, Duration::from_secs(60)).await.expect("migrated");
    worker.ready().await;
    let id = queue.submit_one(task("echo", "1")).await;
    queue.reaches(id, Status::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_the_database_without_a_busy_loop() {
    let mut server = spawn_blocking(|| testing::server_with(&[])).await.expect("a server");
    let queue = Queue::on(&server).await;
    server = spawn_blocking(move || {
        server.stop(StopMode::Fast).expect("stops");
        server
    })
    .await
    .expect("stopped");
    let waiting = WorkerConfig { lease_ttl: Duration::from_secs(1), ..config() };
    let worker = start(builtin(), waiting, queue.servers());
    worker.misses("postgres").await;
    let _server = spawn_blocking(move || {
        server.start().expect("starts again");
        server
    })
    .await
    .expect("started");
    worker.ready().await;
    let id = queue.submit_one(task("echo", "1")).await;
    queue.reaches(id, Status::Done).await;
}
