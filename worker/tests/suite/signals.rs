//! The binary is told to stop.

use std::time::Duration;

use queue::Status;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::support::{
    eventually,
    process::Process,
    queue::{Queue, tasks},
};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing_and_runs_nothing_twice() {
    let queue = Queue::new().await;
    let ids = queue.submit(tasks(3000, "sleep", r#"{"ms": 2}"#)).await;
    let first = Process::start(&queue, &[("WORKER_CONCURRENCY", "20")]);
    let mut worker = first;
    for _ in 0..3 {
        let before = queue.count("SELECT count(*) FROM taskrow.outcomes").await;
        eventually("it is in the middle of it", async || {
            (queue.count("SELECT count(*) FROM taskrow.outcomes").await > before + 100).then_some(())
        })
        .await;
        worker.signal(Signal::TERM);
        assert_eq!(worker.ended().await.code(), Some(0));
        assert_eq!(queue.count("SELECT count(*) FROM taskrow.leases").await, 0, "everything claimed is done or back");
        assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers").await, 0, "off the list");
        worker = Process::start(&queue, &[("WORKER_CONCURRENCY", "20")]);
    }
    queue.done_at(&ids, 1).await;
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.failures").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_turns_off_while_it_drains_and_live_stays_on() {
    let queue = Queue::new().await;
    let mut worker = Process::start(&queue, &[]);
    let ids = queue.submit(tasks(5, "sleep", r#"{"ms": 3000}"#)).await;
    queue.reaches(ids[0], Status::Processing).await;
    assert_eq!(worker.get("/ready").await.0, 200);
    worker.signal(Signal::TERM);
    eventually("it is not ready", async || (worker.get("/ready").await.0 == 503).then_some(())).await;
    let (_, body) = worker.get("/ready").await;
    assert!(body.contains("stopping"), "{body}");
    assert_eq!(worker.get("/live").await.0, 200);
    assert_eq!(worker.ended().await.code(), Some(0));
    queue.done_at(&ids, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let queue = Queue::new().await;
    let mut worker = Process::start(&queue, &[]);
    let ids = queue.submit(tasks(1, "sleep", r#"{"ms": 3600000}"#)).await;
    queue.reaches(ids[0], Status::Processing).await;
    worker.signal(Signal::TERM);
    eventually("it drains", async || worker.output().contains("draining").then_some(())).await;
    worker.signal(Signal::TERM);
    let asked_at = Instant::now();
    assert_eq!(worker.ended().await.code(), Some(143));
    assert!(asked_at.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_budget_goes_back_with_its_attempt() {
    let queue = Queue::new().await;
    let settings = [("WORKER_DRAIN_BUDGET", "500ms"), ("WORKER_CANCEL_GRACE", "200ms")];
    let mut worker = Process::start(&queue, &settings);
    let ids = queue.submit(tasks(3, "sleep", r#"{"ms": 3600000}"#)).await;
    for id in &ids {
        queue.reaches(*id, Status::Processing).await;
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
    for id in ids {
        let task = queue.get(id).await;
        assert_eq!((task.status, task.attempt), (Status::Queued, 0));
    }
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_before_there_is_a_database_ends_it_cleanly() {
    let mut worker = Process::start_with(&[("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")]);
    eventually("it waits", async || worker.output().contains("not ready").then_some(())).await;
    let (status, body) = worker.get("/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("postgres"), "{body}");
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
}
