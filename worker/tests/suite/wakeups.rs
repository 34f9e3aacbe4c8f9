//! Wakeups make the system fast. Without them it does the same.

use std::time::Duration;

use queue::Status;
use worker::WorkerConfig;

use crate::support::{
    eventually,
    queue::{Queue, task, tasks},
    worker::{Running, builtin, config, start},
};

const LISTENER: &str = "datname = current_database() AND application_name LIKE '%listener'";

/// Finds nothing by polling.
pub(crate) fn deaf_without_wakeups() -> WorkerConfig {
    WorkerConfig { poll_interval: Duration::from_secs(3600), ..config() }
}

pub(crate) async fn listens(worker: &Running, listening: bool) {
    let expected = u64::from(listening);
    let condition = async || (worker.metric("taskrow_worker_listening") == expected).then_some(());
    eventually(&format!("listening is {listening}"), condition).await;
}

/// A task submitted now is found by its wakeup.
pub(crate) async fn is_woken(queue: &Queue) {
    let id = queue.submit_one(task("echo", "1")).await;
    queue.hint("work default").await;
    queue.reaches(id, Status::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_runs_without_any_wakeup() {
    let queue = Queue::new().await;
    let polling = WorkerConfig { wakeups: false, ..config() };
    let worker = start(builtin(), polling.clone(), queue.servers());
    let other = start(builtin(), polling, queue.servers());
    let ids = queue.submit(tasks(500, "echo", "1")).await;
    queue.done_at(&ids, 1).await;
    assert_eq!(queue.count(&format!("SELECT count(*) FROM pg_stat_activity WHERE {LISTENER}")).await, 0);
    worker.stop(Duration::from_secs(30)).await;
    other.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_always_terminated_costs_latency_only() {
    let queue = Queue::new().await;
    let worker = start(builtin(), config(), queue.servers());
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.extend(queue.submit(tasks(20, "echo", "1")).await);
        queue.execute(&format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {LISTENER}")).await;
    }
    queue.done_at(&ids, 1).await;
    listens(&worker, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_listener_comes_back_and_finds_what_it_missed() {
    let queue = Queue::new().await;
    let worker = start(builtin(), deaf_without_wakeups(), queue.servers());
    listens(&worker, true).await;
    is_woken(&queue).await;
    for _ in 0..3 {
        let listener = queue.execute(&format!("SELECT pid FROM pg_stat_activity WHERE {LISTENER}")).await;
        queue.execute(&format!("SELECT pg_terminate_backend({listener})")).await;
        // Its hint goes into the void.
        let missed = queue.submit_one(task("echo", "1")).await;
        queue.reaches(missed, Status::Done).await;
        eventually("another listener", async || {
            let pid = queue.execute(&format!("SELECT pid FROM pg_stat_activity WHERE {LISTENER}")).await;
            (!pid.is_empty() && pid != listener).then_some(())
        })
        .await;
        is_woken(&queue).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_strange_notifications_are_ignored() {
    let queue = Queue::new().await;
    let worker = start(builtin(), deaf_without_wakeups(), queue.servers());
    listens(&worker, true).await;
    for hint in ["", "work", "work other", "nonsense", "cancel x", "cancel 999", "probe 1"] {
        queue.hint(hint).await;
    }
    is_woken(&queue).await;
    assert_eq!(queue.count(&format!("SELECT count(*) FROM pg_stat_activity WHERE {LISTENER}")).await, 1);
}
