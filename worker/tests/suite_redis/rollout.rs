//! Workers and submitters of both backends side by side, as while one is rolled out or back.

use dispatch::Dispatch;
use queue::TaskId;

use crate::{
    server::{Redis, have_looked, servers_with, told_only},
    support::{
        backend::Backend,
        eventually,
        queue::{Queue, task, tasks},
        worker::{Running, Servers, builtin, config, start},
    },
};

/// Told by wakeups only.
fn in_postgres_mode(queue: &Queue, config: worker::WorkerConfig) -> Running {
    start(builtin(), config, Servers { database: queue.database(), dispatch: Dispatch::default() })
}

/// Stores tasks and tells of them as a submitter in Postgres mode.
async fn submit_by_hint(queue: &Queue, count: usize) -> Vec<TaskId> {
    let (submission, _) = queue.store(tasks(count, "echo", "1")).await;
    queue.hint("work default").await;
    submission.ids().to_vec()
}

fn claimed(worker: &Running) -> u64 {
    worker.metric("taskrow_worker_claimed_tasks_total")
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_both_backends_share_a_queue() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let by_hint = in_postgres_mode(&queue, config());
    let by_redis = start(builtin(), config(), queue.servers());
    let mut ids = Vec::new();
    eventually("both have run some", async || {
        for _ in 0..10 {
            ids.extend(queue.submit(tasks(20, "echo", "1")).await);
            ids.extend(submit_by_hint(&queue, 20).await);
            ids.push(queue.submit_one(task("echo", "1")).await);
        }
        (claimed(&by_hint) > 0 && claimed(&by_redis) > 0).then_some(())
    })
    .await;
    queue.done_at(&ids, 1).await;
    redis.is_empty().await;
    assert_eq!(claimed(&by_hint) + claimed(&by_redis), ids.len() as u64, "none twice");
}

/// A hint makes a worker look at the table, whatever its backend.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_redis_mode_hears_hints() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let listening = worker::WorkerConfig { wakeups: true, ..told_only() };
    let worker = start(builtin(), listening, queue.servers());
    eventually("it listens", async || (worker.metric("taskrow_worker_listening") == 1).then_some(())).await;
    have_looked(&queue, 1).await;
    let ids = submit_by_hint(&queue, 500).await;
    queue.done_at(&ids, 1).await;
    assert_eq!(worker.metric("taskrow_worker_redis_delivered_batches_total"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_told_in_one_mode_are_run_in_the_other() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    // To Postgres: nobody reads the streams any more.
    let told_by_redis = queue.submit(tasks(300, "echo", "1")).await;
    let worker = in_postgres_mode(&queue, config());
    queue.done_at(&told_by_redis, 1).await;
    worker.stop(std::time::Duration::from_secs(30)).await;
    let left: u64 = redis.ask(&["XLEN", "taskrow:default#echo"]).await;
    assert_eq!(left, 5);
    // And back: nobody was listening when the hint came, and the streams tell of what was done long ago.
    let told_by_hint = submit_by_hint(&queue, 300).await;
    let worker = start(builtin(), told_only(), queue.servers());
    queue.done_at(&told_by_hint, 1).await;
    redis.is_empty().await;
    assert_eq!(worker.metric("taskrow_worker_redis_stale_batches_total"), 5);
    assert_eq!(claimed(&worker), 300);
}

/// Two queues with the same names in one Redis: each sees the other's entries, and neither minds.
#[tokio::test(flavor = "multi_thread")]
async fn two_installations_in_one_redis_steal_news_and_no_tasks() {
    let redis = Redis::start();
    let (one, two) = (redis.queue().await, Queue::with(Backend::of(redis.args())).await);
    let workers = [&one, &two].map(|queue| start(builtin(), config(), servers_with(queue, &redis.args())));
    for _ in 0..20 {
        let (of_one, of_two) = (one.submit(tasks(5, "echo", "1")).await, two.submit(tasks(5, "echo", "2")).await);
        one.done_at(&of_one, 1).await;
        two.done_at(&of_two, 1).await;
    }
    assert_eq!(workers.map(|worker| claimed(&worker)), [100, 100]);
}
