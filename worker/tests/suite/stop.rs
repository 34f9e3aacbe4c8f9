//! Stopping a worker, and what it takes along.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use queue::Status;
use tokio::time::Instant;
use worker::{Context, TaskError, Worker, WorkerConfig};

use crate::support::{
    eventually,
    proxy::{Mode, Proxy},
    queue::{Queue, task, tasks},
    worker::{builtin, config, endless, slots, start},
};

/// What protocol constants add to the drain budget at most: the grace, the flush, last hints.
const OVER: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_task_is_done_or_given_back() {
    let queue = Queue::new().await;
    let ids = queue.submit(tasks(4000, "sleep", r#"{"ms": 3}"#)).await;
    let mut rounds = 0;
    while queue.count("SELECT count(*) FROM taskrow.ready").await > 0 {
        let worker = start(builtin(), slots(20), queue.servers());
        let before = queue.count("SELECT count(*) FROM taskrow.outcomes").await;
        eventually("it works", async || {
            (queue.count("SELECT count(*) FROM taskrow.outcomes").await > (before + 50).min(3999)).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(20) + OVER).await;
        assert_eq!(queue.count("SELECT count(*) FROM taskrow.leases").await, 0);
        assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers").await, 0);
        rounds += 1;
    }
    queue.done_at(&ids, 1).await;
    assert!(rounds > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_are_told_when_the_budget_is_used_up() {
    let queue = Queue::new().await;
    let handler = async |task: Context| -> Result<&str, TaskError> {
        task.stop().cancelled().await;
        if task.payload().get() == "1" { Ok("finished in its grace") } else { Err(TaskError::retry("stopped")) }
    };
    let builder = Worker::builder().handler("wait", handler).handler("stubborn", endless);
    let short = WorkerConfig { drain_budget: Duration::from_millis(300), ..config() };
    let worker = start(builder, short, queue.servers());
    let finishes = queue.submit_one(task("wait", "1")).await;
    let errs = queue.submit_one(task("wait", "2")).await;
    let stubborn = queue.submit_one(task("stubborn", "1")).await;
    for id in [finishes, errs, stubborn] {
        queue.reaches(id, Status::Processing).await;
    }
    worker.stop(OVER).await;
    assert_eq!(queue.get(finishes).await.status, Status::Done);
    for id in [errs, stubborn] {
        let task = queue.get(id).await;
        assert_eq!((task.status, task.attempt), (Status::Queued, 0), "{task:?}");
    }
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_goes_back_at_once() {
    let queue = Queue::new().await;
    let runs = Arc::new(AtomicBool::new(false));
    let started = runs.clone();
    let work = move |task: Context| {
        let started = started.clone();
        async move {
            if task.payload().get() == "0" {
                started.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            Ok::<_, TaskError>(())
        }
    };
    let worker = start(Worker::builder().handler("work", work), slots(1), queue.servers());
    let warm_up = queue.submit(tasks(200, "work", "1")).await;
    queue.done_at(&warm_up, 1).await;
    let mut batch = tasks(64, "work", "1");
    batch[0] = task("work", "0");
    let ids = queue.submit(batch).await;
    // Claimed is not started: what has not started goes back, this one too.
    eventually("its handler runs", async || runs.load(Ordering::SeqCst).then_some(())).await;
    worker.tell_stop();
    queue.counts(1, "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases").await;
    assert_eq!(queue.get(ids[0]).await.status, Status::Processing, "it still has its budget");
    queue.cancel(ids[0]).await;
    queue.reaches(ids[0], Status::Cancelled).await;
    worker.stop(OVER).await;
    for id in &ids[1..] {
        let task = queue.get(*id).await;
        assert_eq!((task.status, task.attempt), (Status::Queued, 0));
    }
}

async fn stops_in_time_behind(mode: Mode) {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let short = WorkerConfig { drain_budget: Duration::from_secs(1), ..config() };
    let worker = start(builtin(), short, queue.servers_by(&proxy));
    let ids = queue.submit(tasks(50, "sleep", r#"{"ms": 200}"#)).await;
    queue.reaches(ids[0], Status::Done).await;
    proxy.set(mode);
    let asked_at = Instant::now();
    worker.stop(Duration::from_secs(60)).await;
    assert!(asked_at.elapsed() < Duration::from_secs(1) + OVER, "{mode:?}: {:?}", asked_at.elapsed());
    drop(proxy);
    // Another one takes over what it could not give back.
    queue.execute("UPDATE taskrow.workers SET heartbeat_at = heartbeat_at - interval '1 hour'").await;
    let other = start(builtin(), slots(10), queue.servers());
    for task in queue.ended(&ids).await {
        assert_eq!(task.status, Status::Done);
    }
    other.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_the_database_is_away_ends_in_time() {
    join_all([Mode::Cut, Mode::Stall, Mode::Deaf].map(stops_in_time_behind)).await;
}
