//! What is written when the answer to a write is lost. Every backend writes the same way.

use futures_util::future::join;
use queue::Status;
use worker::{Context, TaskError, Worker};

use crate::support::{
    proxy::{Mode, Proxy},
    queue::{Queue, task},
    worker::{slots, start},
};

/// `written`: where the finisher notes how this task's first attempt ended.
async fn is_recorded_once(payload: &str, written: &str) {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let handler = async |task: Context| -> Result<i16, TaskError> {
        if task.payload().get() == "1" || task.attempt() > 1 {
            Ok(task.attempt())
        } else {
            Err(TaskError::retry("once"))
        }
    };
    let builder = Worker::builder().handler("work", handler);
    let worker = start(builder, slots(2), queue.servers_by(&proxy));
    // Both statements are prepared after this.
    let warm_up = queue.submit(vec![task("work", "1"), task("work", "2")]).await;
    queue.ended(&warm_up).await;
    let lock = queue.lock(written).await;
    let id = queue.submit_one(task("work", payload)).await;
    queue.blocks("finisher").await;
    proxy.set(Mode::Deaf);
    drop(lock);
    let notes = format!("SELECT count(*) FROM taskrow.{written} WHERE task_id = '{id}'");
    queue.counts(1, &notes).await;
    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);
    queue.reaches(id, Status::Done).await;
    assert_eq!(queue.count(&notes).await, 1);
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_whose_write_was_never_answered_are_recorded_once() {
    join(is_recorded_once("1", "outcomes"), is_recorded_once("2", "failures")).await;
}
