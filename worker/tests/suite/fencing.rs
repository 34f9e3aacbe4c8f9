//! A worker that others hold for dead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use queue::Status;
use tokio_util::sync::CancellationToken;
use worker::{Context, TaskError, Worker};

use crate::support::{
    eventually,
    proxy::{Mode, Proxy},
    queue::{Queue, task, tasks},
    worker::{config, slots, start},
};

/// Counts when dropped.
struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_marked_dead_stops_its_handlers_and_starts_over() {
    let queue = Queue::new().await;
    let ends = Arc::new(AtomicUsize::new(0));
    let told = CancellationToken::new();
    let handler = {
        let (ends, told) = (ends.clone(), told.clone());
        move |task: Context| {
            let (end, told) = (Ends(ends.clone()), told.clone());
            async move {
                if task.attempt() == 1 {
                    let stop = task.stop().clone();
                    service::tasks::Tasks::new().spawn(async move {
                        stop.cancelled().await;
                        told.cancel();
                    });
                    std::future::pending::<()>().await;
                }
                drop(end);
                Ok(task.attempt())
            }
        }
    };
    let worker = start(Worker::builder().handler("hold", handler), slots(3), queue.servers());
    let ids = queue.submit(tasks(3, "hold", "1")).await;
    for id in &ids {
        queue.reaches(*id, Status::Processing).await;
    }
    let old = queue.get(ids[0]).await.worker;
    queue.execute("UPDATE taskrow.workers SET dead_at = clock_timestamp()").await;
    eventually("the handlers are dropped", async || (ends.load(Ordering::SeqCst) >= 3).then_some(())).await;
    told.cancelled().await;
    queue.done_at(&ids, 2).await;
    assert_ne!(queue.get(ids[0]).await.worker, old, "a new identity");
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 1);
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers WHERE dead_at IS NULL").await, 1);

    // Nothing of the old life goes on: one connection for each purpose.
    queue.counts(1, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%claimer'").await;
    queue.counts(1, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%heartbeat'").await;
    worker.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lives_follow_each_other_for_as_long_as_it_takes() {
    let queue = Queue::new().await;
    let echo = async |task: Context| -> Result<_, TaskError> { Ok(task.payload().clone()) };
    let worker = start(Worker::builder().handler("echo", echo), slots(4), queue.servers());
    for life in 1..=6 {
        let ids = queue.submit(tasks(20, "echo", "1")).await;
        queue.ended(&ids).await;
        queue.execute("UPDATE taskrow.workers SET dead_at = clock_timestamp()").await;
        eventually("it starts over", async || (worker.metric("taskrow_worker_fenced_total") == life).then_some(()))
            .await;
    }
    let claimers =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%claimer'";
    let ids = queue.submit(tasks(20, "echo", "1")).await;
    queue.done_at(&ids, 1).await;
    queue.counts(1, claimers).await;
    worker.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_cut_off_for_longer_than_its_ttl_goes_on_with_what_nobody_took() {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let go = CancellationToken::new();
    let told = go.clone();
    let handler = move |task: Context| {
        let told = told.clone();
        async move {
            told.cancelled().await;
            Ok::<_, TaskError>(task.attempt())
        }
    };
    let short = worker::WorkerConfig { lease_ttl: Duration::from_secs(2), ..config() };
    let worker = start(Worker::builder().handler("hold", handler), short, queue.servers_by(&proxy));
    let id = queue.submit_one(task("hold", "1")).await;
    queue.reaches(id, Status::Processing).await;
    for mode in [Mode::Cut, Mode::Stall] {
        proxy.set(mode);
        let report = worker.misses("postgres").await;
        assert!(report.dependencies["schema"].is_ok(), "{report:?}");
        queue
            .counts(1, "SELECT count(*) FROM taskrow.workers WHERE heartbeat_at < clock_timestamp() - interval '3 s'")
            .await;
        proxy.set(Mode::Cut);
        proxy.set(Mode::Pass);
        worker.ready().await;
    }
    go.cancel();
    queue.done_at(&[id], 1).await;
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 0);
    worker.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_cut_off_drops_its_tasks_when_it_learns_that_others_took_them() {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let ends = Arc::new(AtomicUsize::new(0));
    let count = ends.clone();
    let hold = move |_: Context| {
        let end = Ends(count.clone());
        async move {
            std::future::pending::<()>().await;
            drop(end);
            Ok::<_, TaskError>(0)
        }
    };
    let short = worker::WorkerConfig { lease_ttl: Duration::from_secs(2), ..config() };
    let cut_off = start(Worker::builder().handler("hold", hold), short, queue.servers_by(&proxy));
    let id = queue.submit_one(task("hold", "1")).await;
    queue.reaches(id, Status::Processing).await;
    proxy.set(Mode::Stall);
    cut_off.misses("postgres").await;
    let finish = async |task: Context| -> Result<i16, TaskError> { Ok(task.attempt()) };
    let other = start(Worker::builder().handler("hold", finish), config(), queue.servers());
    queue.done_at(&[id], 2).await;
    assert_eq!(ends.load(Ordering::SeqCst), 0, "it cannot know yet");
    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);
    eventually("the handler is dropped", async || (ends.load(Ordering::SeqCst) == 1).then_some(())).await;
    eventually("a new life", async || (cut_off.metric("taskrow_worker_fenced_total") == 1).then_some(())).await;
    cut_off.ready().await;
    other.stop(Duration::from_secs(30)).await;
    cut_off.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_result_of_a_rescued_lease_is_not_written() {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let go = CancellationToken::new();
    let handler = |go: CancellationToken, name: &'static str| {
        move |_: Context| {
            let go = go.clone();
            async move {
                go.cancelled().await;
                Ok::<_, TaskError>(name)
            }
        }
    };
    // Its heartbeats are not answered, and so late that it does not notice.
    let slow =
        start(Worker::builder().handler("hold", handler(go.clone(), "late")), slots(2), queue.servers_by(&proxy));
    let id = queue.submit_one(task("hold", "1")).await;
    let first = queue.reaches(id, Status::Processing).await.worker.expect("a worker");
    proxy.set(Mode::Stall);
    queue
        .execute(&format!(
            "UPDATE taskrow.workers SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE id = {first}"
        ))
        .await;
    let open = CancellationToken::new();
    open.cancel();
    let second = start(Worker::builder().handler("hold", handler(open, "second")), slots(2), queue.servers());
    queue.reaches(id, Status::Done).await;
    go.cancel();
    proxy.set(Mode::Pass);
    eventually("the first finds itself dead", async || (slow.metric("taskrow_worker_fenced_total") == 1).then_some(()))
        .await;
    let task = queue.get(id).await;
    assert_eq!((task.attempt, task.result.expect("a result").get()), (2, r#""second""#));
    drop(second);
}
