//! Tasks come by the streams, which end as empty as they began.

use queue::{NewTask, Status};
use rustix::process::Signal;
use worker::{Worker, WorkerConfig};

use crate::{
    server::{Redis, STREAM, have_looked, told_only},
    support::{
        eventually,
        process::Process,
        queue::{name, task, tasks},
        worker::{Running, builtin, config, endless, start},
    },
};

/// Otherwise tests of this target may pass although Redis does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_come_through_redis_and_not_from_the_table() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let worker = start(builtin(), told_only(), queue.servers());
    have_looked(&queue, 1).await;
    let (untold, _) = queue.store(tasks(1, "echo", "1")).await;
    for _ in 0..20 {
        let id = queue.submit_one(task("echo", "1")).await;
        queue.reaches(id, Status::Done).await;
    }
    assert_eq!(worker.metric("taskrow_worker_redis_delivered_batches_total"), 20);
    assert_eq!(worker.metric("taskrow_worker_redis_stale_batches_total"), 0);
    assert_eq!(queue.get(untold.ids()[0]).await.status, Status::Queued, "nobody looked at the table");
}

fn of_priority(priority: i16) -> NewTask {
    let mut task = task("echo", "1");
    task.options.priority = priority;
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_tasks_later_the_streams_are_empty() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let workers = [0; 2].map(|_| start(builtin(), config(), queue.servers()));
    let mut ids = Vec::new();
    for round in 0..100_i16 {
        ids.extend(queue.submit(vec![of_priority(round % 3 - 1); 19]).await);
        ids.push(queue.submit_one(of_priority(7)).await);
    }
    queue.done_at(&ids, 1).await;
    redis.is_empty().await;
    assert_eq!(redis.streams().await.len(), 12, "of echo and sleep, three urgencies each, and their rests");
    let delivered = workers.iter().map(|worker| worker.metric("taskrow_worker_redis_delivered_batches_total"));
    assert!(delivered.sum::<u64>() >= 200, "each batch was delivered, even when the table was faster");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_takes_its_consumer_along() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let mut worker = Process::start(&queue, &[]);
    let other = start(builtin(), told_only(), queue.servers());
    let identity = worker.registered(1).await;
    let ids = queue.submit(tasks(500, "sleep", r#"{"ms": 5}"#)).await;
    let stream = "taskrow:default#sleep";
    eventually("both are consumers", async || (redis.consumers(stream).await.len() == 2).then_some(())).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
    let left = redis.consumers(stream).await;
    assert!(left.len() == 1 && left[0] != format!("worker-{identity}"), "{left:?}");
    // What it gave back, it told by a wakeup, which this one does not hear.
    let helper = start(builtin(), config(), queue.servers());
    queue.done_at(&ids, 1).await;
    redis.is_empty().await;
    for worker in [other, helper] {
        worker.stop(std::time::Duration::from_secs(30)).await;
    }
    for stream in redis.streams().await {
        assert!(redis.consumers(&stream).await.is_empty(), "{stream}");
    }
}

fn holding(slots: u32) -> WorkerConfig {
    WorkerConfig { concurrency: slots, ..told_only() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_delivered_to_others() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let hold = || Worker::builder().handler("hold", endless);
    let workers = [0; 2].map(|_| start(hold(), holding(4), queue.servers()));
    have_looked(&queue, 2).await;
    queue.submit(tasks(64, "hold", "1")).await;
    queue.counts(8, "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases").await;
    for worker in &workers {
        assert!(worker.metric("taskrow_worker_redis_delivered_batches_total") >= 1);
        assert_eq!(worker.metric("taskrow_worker_claimed_tasks_total"), 4);
    }
    eventually("the rest waits for a third one", async || {
        (redis.pending("taskrow:default#hold#rest").await == 0).then_some(())
    })
    .await;
    let third = start(hold(), holding(50), queue.servers());
    queue.counts(58, "SELECT sum(taskrow.mask_size(mask)) FROM taskrow.leases").await;
    drop((workers, third));
}

async fn listens(worker: &Running) {
    eventually("it listens", async || (worker.metric("taskrow_worker_listening") == 1).then_some(())).await;
}

/// Its slots are filled from the table while its read waits at Redis. What that read brings must not wait for its slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_worker_keeps_nothing_that_it_was_delivered() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let hold = || Worker::builder().handler("hold", endless);
    let busy = start(hold(), WorkerConfig { wakeups: true, ..holding(1) }, queue.servers());
    listens(&busy).await;
    have_looked(&queue, 1).await;
    let (untold, _) = queue.store(tasks(1, "hold", "1")).await;
    queue.hint("work default").await;
    queue.reaches(untold.ids()[0], Status::Processing).await;
    let _idle = start(hold(), holding(10), queue.servers());
    have_looked(&queue, 2).await;
    for _ in 0..6 {
        let id = queue.submit_one(task("hold", "1")).await;
        queue.reaches(id, Status::Processing).await;
    }
    redis.is_empty().await;
    assert_eq!(busy.metric("taskrow_worker_claimed_tasks_total"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_a_paused_queue_are_passed_over_until_it_is_resumed() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let worker = start(builtin(), WorkerConfig { wakeups: true, ..told_only() }, queue.servers());
    listens(&worker).await;
    have_looked(&queue, 1).await;
    queue.pause("default").await;
    let paused = queue.submit(tasks(200, "echo", "1")).await;
    redis.is_empty().await;
    eventually("all four batches are passed over", async || {
        (worker.metric("taskrow_worker_redis_stale_batches_total") == 4).then_some(())
    })
    .await;
    assert_eq!(worker.metric("taskrow_worker_claimed_tasks_total"), 0);
    queue.resume("default").await;
    queue.hint("work default").await;
    queue.done_at(&paused, 1).await;
    let id = queue.submit_one(task("echo", "1")).await;
    queue.reaches(id, Status::Done).await;
    assert_eq!(worker.metric("taskrow_worker_redis_delivered_batches_total"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reads_the_streams_of_its_queues_only() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let of_one = WorkerConfig { queues: vec![name("one")], ..told_only() };
    let _worker = start(builtin(), of_one, queue.servers());
    have_looked(&queue, 1).await;
    let other = queue.submit_one(task("echo", "1")).await;
    let mut ours = task("echo", "1");
    ours.options.lane.queue = name("one");
    let ours = queue.submit_one(ours).await;
    queue.reaches(ours, Status::Done).await;
    let waiting: u64 = redis.ask(&["XLEN", STREAM]).await;
    assert_eq!((waiting, queue.get(other).await.status), (1, Status::Queued));
}
