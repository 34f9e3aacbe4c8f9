//! Handlers that block their threads.

use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use queue::Status;
use worker::{Builder, Context, TaskError, Worker, WorkerConfig};

use crate::support::{
    queue::{Queue, task, tasks},
    worker::{slots, start},
};

/// Blocks who comes to it, until it is dropped.
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A worker whose tasks with payload 0 block their thread at their first attempt, and do not await anything.
    fn builder() -> (Builder, Self) {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let inside = gate.clone();
        let work = move |task: Context| {
            let inside = inside.clone();
            async move {
                if task.payload().get() == "0" && task.attempt() == 1 {
                    let (is_open, opened) = &*inside;
                    let is_open = is_open.lock().expect("no panic");
                    drop(opened.wait_while(is_open, |is_open| !*is_open).expect("no panic"));
                }
                if task.payload().get() == "2" {
                    std::future::pending::<()>().await;
                }
                Ok::<_, TaskError>(task.attempt())
            }
        };
        (Worker::builder().handler("work", work), Self(gate))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let (is_open, opened) = &*self.0;
        *is_open.lock().expect("no panic") = true;
        opened.notify_all();
    }
}

/// Four slots, and a lease that would soon be lost without heartbeats.
fn config() -> WorkerConfig {
    WorkerConfig { lease_ttl: Duration::from_secs(5), drain_budget: Duration::from_secs(1), ..slots(4) }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_blocks_its_thread_for_good_stops_neither_others_nor_the_heartbeat_nor_a_stop() {
    let queue = Queue::new().await;
    let (builder, gate) = Gate::builder();
    let worker = start(builder, config(), queue.servers());
    // In the midst of others, so that its slot has just told the finisher and the claimer of the one before.
    let mut batch = tasks(200, "work", "1");
    batch[100] = task("work", "0");
    let ids = queue.submit(batch).await;
    for id in ids.iter().filter(|id| **id != ids[100]) {
        assert_eq!(queue.reaches(*id, Status::Done).await.attempt, 1);
    }
    // Time limits of the others still hold, and what is cancelled ends.
    let mut slow = task("work", "2");
    (slow.options.timeout, slow.options.max_attempts) = (Duration::from_millis(100), 1);
    let slow = queue.submit_one(slow).await;
    assert_eq!(queue.reaches(slow, Status::Failed).await.error.as_deref(), Some("timed out after 100ms"));
    let endless = queue.submit_one(task("work", "2")).await;
    queue.reaches(endless, Status::Processing).await;
    queue.cancel(endless).await;
    queue.reaches(endless, Status::Cancelled).await;
    // Longer than a lease lasts.
    let beats = "SELECT count(*) FROM taskrow.workers WHERE heartbeat_at > started_at + interval '6 seconds' AND dead_at IS NULL";
    queue.counts(1, beats).await;
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 0);
    assert_eq!(queue.get(ids[100]).await.status, Status::Processing);
    worker.stop(Duration::from_secs(60)).await;
    drop(gate);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_threads_are_blocked_the_worker_starts_over_and_nothing_is_lost() {
    let queue = Queue::new().await;
    let (builder, gate) = Gate::builder();
    let threads = thread::available_parallelism().expect("a number").get().max(2);
    let many = WorkerConfig { concurrency: threads as u32, ..config() };
    let worker = start(builder, many, queue.servers());
    let blocking = queue.submit(tasks(threads, "work", "0")).await;
    let all_run = "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases";
    queue.counts(threads as i64, all_run).await;
    let waiting = queue.submit(tasks(100, "work", "1")).await;
    for id in &waiting {
        queue.reaches(*id, Status::Done).await;
    }
    // Under another identity and on other threads, by way of rescue.
    queue.done_at(&blocking, 2).await;
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 1);
    let told = "SELECT count(*) FROM taskrow.failures WHERE crashes = 1";
    assert_eq!(queue.count(told).await, threads as i64, "it is told as a death");
    worker.stop(Duration::from_secs(60)).await;
    drop(gate);
}
