//! Queues that are paused.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use queue::{NewTask, Status};
use tokio_util::sync::CancellationToken;
use worker::{Builder, Context, TaskError, Worker};

use crate::support::{
    eventually,
    queue::{Queue, name, task, tasks},
    worker::{config, of_queues, slots, start},
};

/// Counts; a task with payload 0 holds its slot until told to go on.
fn counting() -> (Builder, Arc<AtomicUsize>, CancellationToken) {
    let (runs, go) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let (count, wait) = (runs.clone(), go.clone());
    let work = move |task: Context| {
        let (count, wait) = (count.clone(), wait.clone());
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            if task.payload().get() == "0" {
                wait.cancelled().await;
            }
            Ok::<_, TaskError>(())
        }
    };
    (Worker::builder().handler("work", work), runs, go)
}

fn of(queue: &str) -> NewTask {
    let mut task = task("work", "1");
    task.options.lane.queue = name(queue);
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_paused_queue_starts_and_everything_after_it_resumes() {
    let queue = Queue::new().await;
    let (builder, runs, _) = counting();
    let _worker = start(builder, of_queues(&["open", "shut"]), queue.servers());
    queue.pause("shut").await;
    queue.pause("shut").await;
    let shut = queue.submit(vec![of("shut"); 70]).await;
    let open = queue.submit(vec![of("open"); 70]).await;
    for id in open {
        queue.reaches(id, Status::Done).await;
    }
    // Many polls later.
    let more = queue.submit(vec![of("open"); 10]).await;
    for id in more {
        queue.reaches(id, Status::Done).await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 80);
    queue.resume("shut").await;
    queue.hint("work shut").await;
    queue.done_at(&shut, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_of_a_pause_is_given_back() {
    let queue = Queue::new().await;
    let (builder, runs, go) = counting();
    let slow_beat = worker::WorkerConfig {
        heartbeat_interval: std::time::Duration::from_secs(3600),
        lease_ttl: std::time::Duration::from_secs(24 * 3600),
        ..slots(1)
    };
    let worker = start(builder, slow_beat, queue.servers());
    let warm_up = queue.submit(tasks(200, "work", "1")).await;
    queue.done_at(&warm_up, 1).await;
    let mut batch = tasks(64, "work", "1");
    batch[0] = task("work", "0");
    let ids = queue.submit(batch).await;
    queue.reaches(ids[0], Status::Processing).await;
    eventually("it listens", async || (worker.metric("taskrow_worker_listening") == 1).then_some(())).await;
    queue.pause("default").await;
    queue.hint("pause default").await;
    queue.counts(1, "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases").await;
    go.cancel();
    queue.reaches(ids[0], Status::Done).await;
    queue.counts(0, "SELECT count(*) FROM taskrow.leases").await;
    assert_eq!(runs.load(Ordering::SeqCst), 201);
    for id in &ids[1..] {
        let task = queue.get(*id).await;
        assert_eq!((task.status, task.attempt), (Status::Queued, 0));
    }
    queue.resume("default").await;
    queue.done_at(&ids, 1).await;
    assert_eq!(runs.load(Ordering::SeqCst), 264);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_its_queue_is_paused_finishes() {
    let queue = Queue::new().await;
    let (builder, _, go) = counting();
    let _worker = start(builder, config(), queue.servers());
    let ids = queue.submit(tasks(5, "work", "0")).await;
    for id in &ids {
        queue.reaches(*id, Status::Processing).await;
    }
    queue.pause("default").await;
    go.cancel();
    queue.done_at(&ids, 1).await;
}
