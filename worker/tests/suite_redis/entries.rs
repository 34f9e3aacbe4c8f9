//! Entries that tell of nothing, of something else, or of the same again.

use std::time::Duration;

use queue::{BatchId, Status};
use rustix::process::Signal;
use worker::WorkerConfig;

use crate::{
    server::{Redis, STREAM, have_looked, told_only},
    support::{
        eventually,
        process::Process,
        queue::{Queue, task, tasks},
        worker::{builtin, start},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_told_fifty_times_runs_once() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    // One slot and nothing ahead: it asks for one batch at a time.
    let worker = start(builtin(), WorkerConfig { concurrency: 1, prefetch: 0, ..told_only() }, queue.servers());
    have_looked(&queue, 1).await;
    let (one, _) = queue.store(tasks(1, "echo", "1")).await;
    let (many, _) = queue.store(tasks(64, "echo", "1")).await;
    for submission in [&one, &many] {
        let batch = submission.ids()[0].batch().uuid().to_string();
        for _ in 0..50 {
            redis.ok(&["XADD", STREAM, "*", "batch", &batch]).await;
        }
    }
    let ids = [one.ids(), many.ids()].concat();
    queue.done_at(&ids, 1).await;
    redis.is_empty().await;
    assert_eq!(worker.metric("taskrow_worker_claimed_tasks_total"), 65);
    let stale = worker.metric("taskrow_worker_redis_stale_batches_total");
    assert!((49..100).contains(&stale), "{stale}");
}

/// Adds entries that are none of ours; gives how many.
async fn add_foreign(redis: &Redis) -> u64 {
    let batch = BatchId::new();
    let of_a_task = batch.task(7).uuid().to_string();
    let id = batch.uuid().to_string();
    let entries: &[&[&[u8]]] = &[
        &[b"job", id.as_bytes()],
        &[b"job", b"{}", b"other", b"1"],
        &[b"", b""],
        &[b"batch", b""],
        &[b"batch", b"\xff\xfe\x00"],
        &[b"\xff\xfe\x00", b"\xff\xfe\x00"],
        &[b"batch", of_a_task.as_bytes()],
        &[b"batch", &[b'x'; 100_000]],
    ];
    for entry in entries {
        redis.ask_bytes::<String>(&[&[b"XADD", STREAM.as_bytes(), b"*"], *entry].concat()).await;
    }
    entries.len() as u64
}

fn counted(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("taskrow_worker_redis_{name}_total ")));
    line.unwrap_or_else(|| panic!("{name} in {metrics}")).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_entries_are_counted_and_harm_nobody() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let mut worker = Process::start(&queue, &[("WORKER_POLL_INTERVAL", "1h"), ("WORKER_WAKEUPS", "false")]);
    have_looked(&queue, 1).await;
    let mut foreign = 0;
    let mut ids = Vec::new();
    for _ in 0..5 {
        foreign += add_foreign(&redis).await;
        ids.push(queue.submit_one(task("echo", "1")).await);
    }
    // One that nobody stored, and one of another lane, which stays where it is.
    let mut other = task("sleep", "1");
    other.options.lane.queue = crate::support::queue::name("other");
    let other = queue.submit_one(other).await;
    for batch in [BatchId::new(), other.batch()] {
        redis.ok(&["XADD", STREAM, "*", "batch", &batch.uuid().to_string(), "more", "fields"]).await;
    }
    for id in &ids {
        queue.reaches(*id, Status::Done).await;
    }
    let last = queue.submit_one(task("echo", "1")).await;
    queue.reaches(last, Status::Done).await;
    let length: u64 = redis.ask(&["XLEN", STREAM]).await;
    eventually("everything is acknowledged", async || (redis.pending(STREAM).await == 0).then_some(())).await;
    assert_eq!(length, 0, "and deleted");
    let metrics = worker.get("/metrics").await.1;
    assert_eq!((counted(&metrics, "foreign_entries"), counted(&metrics, "stale_batches")), (foreign, 2));
    let complaints = worker
        .lines()
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|text| text.contains("none of ours")))
        .count();
    assert_eq!(complaints, 1, "{}", worker.output());
    assert_eq!(queue.get(other).await.status, Status::Queued);
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
}

async fn delivers(redis: &Redis, queue: &Queue, worker: &crate::support::worker::Running) {
    eventually("tasks come by the streams again", async || {
        let before = worker.metric("taskrow_worker_redis_delivered_batches_total");
        let id = queue.submit_one(task("echo", "1")).await;
        queue.reaches(id, Status::Done).await;
        (worker.metric("taskrow_worker_redis_delivered_batches_total") > before).then_some(())
    })
    .await;
    redis.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_costs_latency_only() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    for key in [STREAM.to_owned(), format!("{STREAM}#high")] {
        redis.ok(&["DEL", &key]).await;
        redis.ok(&["SET", &key, "mine"]).await;
        let worker = start(builtin(), crate::support::worker::config(), queue.servers());
        let ids = queue.submit(tasks(100, "echo", "1")).await;
        queue.done_at(&ids, 1).await;
        // And when it happens to one that reads.
        redis.ok(&["DEL", &key]).await;
        delivers(&redis, &queue, &worker).await;
        redis.ok(&["SET", &key, "mine"]).await;
        let ids = queue.submit(tasks(100, "echo", "1")).await;
        queue.done_at(&ids, 1).await;
        redis.ok(&["DEL", &key]).await;
        delivers(&redis, &queue, &worker).await;
        worker.stop(Duration::from_secs(30)).await;
    }
}
