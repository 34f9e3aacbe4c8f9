//! Redis forgets, stands still, goes away and comes back. Tasks run all the same, once each, and nobody has to be told.

use std::time::Duration;

use futures_util::future::join_all;
use queue::{Status, TaskId};
use rustix::process::Signal;
use worker::WorkerConfig;

use crate::{
    server::{Redis, STREAM, have_looked, servers_with, told_only},
    support::{
        backend, eventually,
        process::Process,
        proxy::{Mode, Proxy},
        queue::{Queue, task, tasks},
        worker::{Running, builtin, config, slots, start},
    },
};

const DELIVERED: &str = "taskrow_worker_redis_delivered_batches_total";
const DONE: &str = "SELECT count(*) FROM taskrow.outcomes";

/// Waits until a task comes by its stream.
async fn flows(queue: &Queue, worker: &Running) {
    eventually("tasks come by the streams", async || {
        let before = worker.metric(DELIVERED);
        let id = queue.submit_one(task("echo", "1")).await;
        queue.reaches(id, Status::Done).await;
        (worker.metric(DELIVERED) > before).then_some(())
    })
    .await;
}

async fn ran_once(queue: &Queue, ids: &[TaskId]) {
    queue.done_at(ids, 1).await;
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.failures").await, 0);
}

async fn some_more_are_done(queue: &Queue, all: usize) {
    let before = queue.count(DONE).await;
    eventually("some more are done", async || (queue.count(DONE).await >= (before + 50).min(all as i64)).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_when_redis_was_flushed_is_found_by_polling() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let worker = start(builtin(), WorkerConfig { poll_interval: Duration::from_secs(1), ..slots(4) }, queue.servers());
    let mut ids = Vec::new();
    for round in 0..3 {
        for _ in 0..20 {
            ids.extend(queue.submit(tasks(20, "sleep", r#"{"ms": 5}"#)).await);
        }
        if round < 2 {
            some_more_are_done(&queue, ids.len()).await;
        }
        redis.ok(&[["FLUSHALL", "FLUSHDB", "FLUSHALL"][round]]).await;
    }
    ran_once(&queue, &ids).await;
    flows(&queue, &worker).await;
    redis.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_or_group_that_is_deleted_is_made_again() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let worker = start(builtin(), config(), queue.servers());
    flows(&queue, &worker).await;
    for words in [["DEL", STREAM].as_slice(), &["XGROUP", "DESTROY", STREAM, "workers"], &["UNLINK", STREAM]] {
        redis.ok(words).await;
        flows(&queue, &worker).await;
    }
    redis.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_under_load_and_started_empty_costs_nothing() {
    let mut redis = Redis::start();
    let queue = redis.queue().await;
    let worker = Process::start(&queue, &[("WORKER_CONCURRENCY", "10")]);
    let mut ids = queue.submit(tasks(1500, "sleep", r#"{"ms": 5}"#)).await;
    for _ in 0..3 {
        some_more_are_done(&queue, ids.len()).await;
        redis.kill();
        eventually("it is not ready, for Redis", async || {
            let (status, body) = worker.get("/ready").await;
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            (status == 503 && body["dependencies"]["redis"] != "ok" && body["dependencies"]["postgres"] == "ok")
                .then_some(())
        })
        .await;
        assert_eq!(worker.get("/live").await.0, 200);
        ids.extend(queue.submit(tasks(50, "echo", "1")).await);
        some_more_are_done(&queue, ids.len()).await;
        redis.start_again();
        eventually("it is ready", async || (worker.get("/ready").await.0 == 200).then_some(())).await;
        ids.extend(queue.submit(tasks(50, "echo", "1")).await);
    }
    ran_once(&queue, &ids).await;
    redis.is_empty().await;
    // An outage may change its reason (broken, then refused), and the reader says so, too.
    let complaints = worker.lines().iter().filter(|line| line["level"] == "WARN").count();
    assert!(complaints <= 3 * 3, "{}", worker.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_stands_still_tasks_run() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let worker = start(builtin(), slots(4), queue.servers());
    flows(&queue, &worker).await;
    let mut ids = queue.submit(tasks(300, "sleep", r#"{"ms": 5}"#)).await;
    redis.pause();
    ids.extend(queue.submit(tasks(300, "sleep", r#"{"ms": 5}"#)).await);
    worker.misses("redis").await;
    let during = queue.submit_one(task("echo", "1")).await;
    queue.reaches(during, Status::Done).await;
    redis.resume();
    worker.ready().await;
    ran_once(&queue, &ids).await;
    flows(&queue, &worker).await;
    redis.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_starts_without_redis_and_is_ready_when_it_comes() {
    let mut redis = Redis::start();
    redis.kill();
    let queue = redis.queue().await;
    let ids = queue.submit(tasks(100, "echo", "1")).await;
    let worker = Process::start(&queue, &[]);
    ran_once(&queue, &ids).await;
    let (status, body) = worker.get("/ready").await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["dependencies"]["postgres"]), (503, &"ok".into()), "{body}");
    assert!(body["dependencies"]["redis"].as_str().is_some_and(|reason| reason.contains("refused")), "{body}");
    redis.start_again();
    eventually("it is ready", async || (worker.get("/ready").await.0 == 200).then_some(())).await;
    let delivered = |metrics: String| !metrics.contains("redis_delivered_batches_total 0");
    eventually("tasks come by the streams", async || {
        let id = queue.submit_one(task("echo", "1")).await;
        queue.reaches(id, Status::Done).await;
        delivered(worker.get("/metrics").await.1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_to_a_worker_that_died_is_run_by_others() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let mut victim = Process::start(&queue, &[("WORKER_POLL_INTERVAL", "1h"), ("WORKER_WAKEUPS", "false")]);
    have_looked(&queue, 1).await;
    let lock = queue.lock("leases").await;
    let ids = queue.submit(tasks(64, "echo", "1")).await;
    queue.blocks("claimer").await;
    assert_eq!(redis.pending(STREAM).await, 1, "delivered, and not acknowledged");
    victim.signal(Signal::KILL);
    victim.ended().await;
    // Otherwise its claim goes on without it, and is a lease of a dead worker, which is another story.
    let claimer = "datname = current_database() AND application_name LIKE '%claimer'";
    queue.execute(&format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {claimer}")).await;
    queue.counts(0, &format!("SELECT count(*) FROM pg_stat_activity WHERE {claimer}")).await;
    drop(lock);
    let survivor = start(builtin(), config(), queue.servers());
    ran_once(&queue, &ids).await;
    flows(&queue, &survivor).await;
}

/// As a replica after a failover, which answers and takes no writes; and as one whose memory is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_costs_latency_only() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let worker = start(builtin(), config(), queue.servers());
    flows(&queue, &worker).await;
    redis.ok(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let report = worker.misses("redis").await;
    assert!(format!("{report:?}").to_lowercase().contains("readonly"), "{report:?}");
    let ids = queue.submit(tasks(100, "echo", "1")).await;
    ran_once(&queue, &ids).await;
    redis.ok(&["REPLICAOF", "NO", "ONE"]).await;
    worker.ready().await;
    flows(&queue, &worker).await;

    redis.ok(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let ids = queue.submit(tasks(100, "echo", "1")).await;
    ran_once(&queue, &ids).await;
    redis.ok(&["CONFIG", "SET", "maxmemory", "0"]).await;
    flows(&queue, &worker).await;
    redis.is_empty().await;
}

async fn works_behind(mode: Mode) {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let proxy = Proxy::before(&redis.address()).await;
    let worker = start(builtin(), slots(4), servers_with(&queue, &backend::redis(&proxy.address())));
    let mut ids = queue.submit(tasks(500, "sleep", r#"{"ms": 5}"#)).await;
    for _ in 0..2 {
        some_more_are_done(&queue, ids.len()).await;
        proxy.set(mode);
        worker.misses("redis").await;
        // It does not hear of these.
        ids.extend(queue.submit(tasks(100, "sleep", r#"{"ms": 5}"#)).await);
        some_more_are_done(&queue, ids.len()).await;
        proxy.set(Mode::Cut);
        proxy.set(Mode::Pass);
        worker.ready().await;
    }
    ran_once(&queue, &ids).await;
    flows(&queue, &worker).await;
    redis.is_empty().await;
    // Two of the worker, one of the harness, the one that asks, and those that asked.
    eventually("no connection is left behind", async || (redis.info("connected_clients").await <= 6).then_some(()))
        .await;
    worker.stop(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_to_redis_that_comes_and_goes_costs_nothing_but_time() {
    join_all([Mode::Cut, Mode::Stall, Mode::Deaf].map(works_behind)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_redis_is_away_ends_in_time() {
    let stops = |mode| async move {
        let redis = Redis::start();
        let queue = redis.queue().await;
        let proxy = Proxy::before(&redis.address()).await;
        let worker = start(builtin(), told_only(), servers_with(&queue, &backend::redis(&proxy.address())));
        flows(&queue, &worker).await;
        proxy.set(mode);
        worker.stop(Duration::from_secs(15)).await;
        assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers").await, 0);
    };
    join_all([Mode::Cut, Mode::Stall, Mode::Deaf].map(stops)).await;
}
