//! A worker process that dies, or seems to have.

use std::time::Duration;

use queue::Status;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::support::{
    eventually,
    process::Process,
    queue::{Queue, task, tasks},
};

/// The workers' lease TTL in these tests.
const TTL: Duration = Duration::from_secs(3);
/// A dead worker is found within this after its TTL.
const RESCUE: Duration = Duration::from_secs(10);

/// So many tasks that this worker has started and that take so long.
async fn hold(queue: &Queue, count: usize, ms: u64) -> Vec<queue::TaskId> {
    let ids = queue.submit(tasks(count, "sleep", &format!(r#"{{"ms": {ms}}}"#))).await;
    let held = "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases";
    queue.counts(count as i64, held).await;
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_killed_worker_are_rescued_within_its_ttl_and_ten_seconds_and_end_once() {
    let queue = Queue::new().await;
    let mut victim = Process::start(&queue, &[]);
    let victim_id = victim.registered(1).await;
    let held = hold(&queue, 5, 2_000).await;
    let survivor = Process::start(&queue, &[]);
    let survivor_id = survivor.registered(1).await;
    let waiting = queue.submit(tasks(200, "echo", r#"{"n": 1}"#)).await;

    victim.signal(Signal::KILL);
    let killed_at = Instant::now();
    victim.ended().await;
    queue.counts(0, &format!("SELECT count(*) FROM taskrow.leases WHERE worker = {victim_id}")).await;
    assert!(killed_at.elapsed() < TTL + RESCUE, "rescued after {:?}", killed_at.elapsed());

    queue.done_at(&held, 2).await;
    queue.done_at(&waiting, 1).await;
    for id in &held {
        assert_eq!(queue.get(*id).await.worker, Some(survivor_id));
    }
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.outcomes").await, 205);
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers WHERE dead_at IS NOT NULL").await, 1);
    let (status, metrics) = survivor.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("taskrow_worker_rescued_tasks_total 5"), "{metrics}");
    assert!(metrics.contains("taskrow_worker_dead_workers_total 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_keeps_killing_its_worker_is_set_aside() {
    let queue = Queue::new().await;
    let id = queue.submit_one(task("sleep", r#"{"ms": 3600000}"#)).await;
    let mut patient = task("sleep", r#"{"ms": 3600000}"#);
    patient.options.max_attempts = 100;
    let poison = queue.submit_one(patient).await;
    let rescuer = Process::start(&queue, &[("WORKER_QUEUES", "other")]);
    for crash in 1..=5 {
        let mut victim = Process::start(&queue, &[]);
        let worker = victim.registered(1).await;
        queue
            .counts(2, &format!("SELECT sum(taskrow.mask_size(mask)) FROM taskrow.leases WHERE worker = {worker}"))
            .await;
        victim.signal(Signal::KILL);
        victim.ended().await;
        queue.counts(0, "SELECT count(*) FROM taskrow.leases").await;
        assert_eq!(queue.get(poison).await.attempt, crash);
    }
    let poison = queue.reaches(poison, Status::Failed).await;
    assert_eq!(poison.error.as_deref(), Some("set aside: 5 workers died while they held it"));
    assert_eq!(queue.reaches(id, Status::Failed).await.attempt, 5, "out of attempts");
    drop(rescuer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_writes_nothing_late_and_starts_over() {
    let queue = Queue::new().await;
    let mut frozen = Process::start(&queue, &[("WORKER_CONCURRENCY", "6")]);
    let old = frozen.registered(1).await;
    let held = hold(&queue, 6, 1_500).await;
    frozen.signal(Signal::STOP);
    let mut other = Process::start(&queue, &[]);
    let rescuer = other.registered(1).await;
    queue.done_at(&held, 2).await;

    frozen.signal(Signal::CONT);
    let new = frozen.registered(2).await;
    assert_ne!(new, old);
    for id in &held {
        assert_eq!(queue.get(*id).await.worker, Some(rescuer), "its outcome was not overwritten");
    }
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.outcomes").await, 6);

    // The new life works.
    other.signal(Signal::TERM);
    assert_eq!(other.ended().await.code(), Some(0));
    let ids = queue.submit(tasks(100, "echo", "1")).await;
    queue.done_at(&ids, 1).await;
    for id in &ids {
        assert_eq!(queue.get(*id).await.worker, Some(new));
    }
    assert_eq!(frozen.get("/ready").await.0, 200);
    assert!(frozen.get("/metrics").await.1.contains("taskrow_worker_fenced_total 1"));
    frozen.signal(Signal::TERM);
    assert_eq!(frozen.ended().await.code(), Some(0));
    queue.counts(1, "SELECT count(*) FROM taskrow.workers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_worker_that_was_frozen_goes_on() {
    let queue = Queue::new().await;
    let frozen = Process::start(&queue, &[]);
    let worker = frozen.registered(1).await;
    let held = hold(&queue, 5, 1_500).await;
    frozen.signal(Signal::STOP);
    eventually("its lease has run out", async || {
        let sql = "SELECT count(*) FROM taskrow.workers WHERE heartbeat_at < clock_timestamp() - interval '3500 ms'";
        (queue.count(sql).await == 1).then_some(())
    })
    .await;
    frozen.signal(Signal::CONT);
    for task in queue.ended(&held).await {
        assert_eq!((task.status, task.attempt, task.worker), (Status::Done, 1, Some(worker)));
    }
}
