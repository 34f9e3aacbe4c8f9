//! Cancelling tasks that a worker has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use queue::{Status, cancel::Cancelled, task::Start};
use worker::{Context, TaskError, Worker};

use crate::support::{
    eventually,
    queue::{Queue, task, tasks},
    worker::{config, endless, slots, start},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cooperative_handler_sees_the_stop_token() {
    let queue = Queue::new().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let handler = move |task: Context| {
        let seen = count.clone();
        async move {
            task.stop().cancelled().await;
            seen.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(TaskError::retry("stopped"))
        }
    };
    let slow_beat = worker::WorkerConfig { cancel_grace: std::time::Duration::from_secs(60), ..config() };
    let worker = start(Worker::builder().handler("wait", handler), slow_beat, queue.servers());
    let id = queue.submit_one(task("wait", "1")).await;
    queue.reaches(id, Status::Processing).await;
    assert!(matches!(queue.cancel(id).await, Cancelled::Asked(_)));
    let task = queue.reaches(id, Status::Cancelled).await;
    assert_eq!((seen.load(Ordering::SeqCst), task.attempt), (1, 1));
    assert_eq!(worker.metric("taskrow_worker_finished_tasks_total"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_handler_is_dropped_after_its_grace() {
    let queue = Queue::new().await;
    let _worker = start(Worker::builder().handler("wait", endless), slots(1), queue.servers());
    let id = queue.submit_one(task("wait", "1")).await;
    queue.reaches(id, Status::Processing).await;
    queue.cancel(id).await;
    queue.reaches(id, Status::Cancelled).await;
    let next = queue.submit_one(task("wait", "1")).await;
    queue.reaches(next, Status::Processing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_finishes_first_wins() {
    let queue = Queue::new().await;
    let handler = async |task: Context| -> Result<&str, TaskError> {
        task.stop().cancelled().await;
        Ok("made it")
    };
    let _worker = start(Worker::builder().handler("wait", handler), config(), queue.servers());
    let id = queue.submit_one(task("wait", "1")).await;
    queue.reaches(id, Status::Processing).await;
    queue.cancel(id).await;
    assert_eq!(queue.reaches(id, Status::Done).await.result.expect("a result").get(), r#""made it""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_is_heard_at_once() {
    let queue = Queue::new().await;
    let slow_beat = worker::WorkerConfig {
        heartbeat_interval: std::time::Duration::from_secs(3600),
        lease_ttl: std::time::Duration::from_secs(24 * 3600),
        ..config()
    };
    let worker = start(Worker::builder().handler("wait", endless), slow_beat, queue.servers());
    eventually("it listens", async || (worker.metric("taskrow_worker_listening") == 1).then_some(())).await;
    let id = queue.submit_one(task("wait", "1")).await;
    queue.reaches(id, Status::Processing).await;
    let Cancelled::Asked(holder) = queue.cancel(id).await else { panic!("it runs") };
    queue.hint(&format!("cancel {}", holder.0)).await;
    queue.reaches(id, Status::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_claimed_ahead_is_cancelled_without_running() {
    let queue = Queue::new().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let handler = move |task: Context| {
        let count = count.clone();
        async move {
            if task.payload().get() == "0" {
                std::future::pending::<()>().await;
            }
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, TaskError>(())
        }
    };
    let _worker = start(Worker::builder().handler("work", handler), slots(1), queue.servers());
    // So that it claims ahead.
    let warm_up = queue.submit(tasks(200, "work", "1")).await;
    queue.done_at(&warm_up, 1).await;
    let mut batch = tasks(20, "work", "1");
    batch[0] = task("work", "0");
    let ids = queue.submit(batch).await;
    queue.reaches(ids[7], Status::Processing).await;
    // The one in the slot last: it makes room.
    for id in ids[1..].iter().chain(&ids[..1]) {
        queue.cancel(*id).await;
        queue.reaches(*id, Status::Cancelled).await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_for_its_next_attempt_is_cancelled_at_once() {
    let queue = Queue::new().await;
    let later = std::time::Duration::from_secs(3600);
    let handler = move |_: Context| async move { Err::<(), _>(TaskError::retry_after("no", later)) };
    let _worker = start(Worker::builder().handler("fail", handler), config(), queue.servers());
    let id = queue.submit_one(task("fail", "1")).await;
    queue.reaches(id, Status::Scheduled).await;
    assert_eq!(queue.cancel(id).await, Cancelled::Now);
    let mut never = task("fail", "1");
    never.options.start = Start::After(later);
    let never = queue.submit_one(never).await;
    assert_eq!(queue.cancel(never).await, Cancelled::Now);
    queue.ended(&[id, never]).await;
}
