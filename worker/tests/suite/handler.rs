//! What a handler is given, and what becomes of what it answers.

use std::time::Duration;

use queue::{NewTask, Status, inspect};
use worker::{Context, TaskError, Worker};

use crate::support::{
    eventually,
    queue::{Queue, task, tasks},
    worker::{config, slots, start},
};

type Answer = Result<serde_json::Value, TaskError>;

/// Does what the payload says.
async fn act(task: Context) -> Answer {
    let order: String = task.parse()?;
    let attempt = task.attempt();
    match order.as_str() {
        "result" => Ok(serde_json::json!({"kind": task.kind(), "queue": task.queue(), "id": task.id()})),
        "fail twice" if attempt < 3 => Err(TaskError::retry(format!("no. {attempt}"))),
        "fail twice" => Ok(attempt.into()),
        "fail always" => Err(TaskError::retry(format!("no. {attempt}"))),
        "not before" if attempt == 1 => Err(TaskError::retry_after("later", Duration::from_secs(1))),
        "fatal" => Err(TaskError::fatal("for good")),
        "std error" => Err("x".parse::<i32>().expect_err("no number"))?,
        "panic" if attempt == 1 => panic!("out of the blue"),
        "panic later" if attempt == 1 => {
            tokio::task::yield_now().await;
            panic!("out of the blue")
        }
        "panic in drop" if attempt == 1 => {
            let _bomb = Bomb;
            std::future::pending::<Answer>().await
        }
        "too slow" if attempt == 1 => std::future::pending().await,
        "too large" => Ok("x".repeat(2_000).into()),
        "nul" => Ok("a\0b".into()),
        "nul in error" => Err(TaskError::fatal("a\0b")),
        "far future" => Err(TaskError::again(Duration::MAX)),
        "far retry" => Err(TaskError::retry_after("far", Duration::MAX)),
        _ => Ok(attempt.into()),
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}

fn order(order: &str) -> NewTask {
    let mut task = task("act", &format!("{order:?}"));
    task.options.timeout =
        Duration::from_millis(if order == "too slow" || order == "panic in drop" { 100 } else { 60_000 });
    task
}

/// One task, run by a worker with one slot, which must be as good as new afterwards.
async fn run(order_: &str) -> (inspect::Task, Vec<String>) {
    let queue = Queue::new().await;
    let limited = worker::WorkerConfig { result_limit: 1_000, ..slots(1) };
    let worker = start(Worker::builder().handler("act", act), limited, queue.servers());
    let id = queue.submit_one(order(order_)).await;
    let ended = queue.ended(&[id]).await.remove(0);
    let next = queue.submit_one(order("result")).await;
    queue.reaches(next, Status::Done).await;
    let failures = queue
        .execute("SELECT coalesce(string_agg(attempt || ': ' || error, E'\\n' ORDER BY failed_at), '') FROM taskrow.failures")
        .await;
    worker.stop(Duration::from_secs(30)).await;
    (ended, failures.lines().map(str::to_owned).collect())
}

async fn fails(order: &str, attempt: i16) -> String {
    let (task, _) = run(order).await;
    assert_eq!((task.status, task.attempt), (Status::Failed, attempt), "{task:?}");
    task.error.expect("a reason")
}

async fn recovers(order: &str) -> Vec<String> {
    let (task, failures) = run(order).await;
    assert_eq!(task.status, Status::Done, "{task:?}");
    assert_eq!(usize::from(task.attempt.unsigned_abs()), failures.len() + 1);
    assert_eq!(task.result.expect("a result").get(), task.attempt.to_string());
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_kept() {
    let (task, failures) = run("result").await;
    let result: serde_json::Value = serde_json::from_str(task.result.expect("a result").get()).expect("JSON");
    assert_eq!(result, serde_json::json!({"kind": "act", "queue": "default", "id": task.id}));
    assert!(failures.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn retryable_errors_are_tried_again_and_kept() {
    assert_eq!(recovers("fail twice").await, ["1: no. 1", "2: no. 2"]);
    assert_eq!(recovers("not before").await, ["1: later"]);
    assert_eq!(fails("fail always", 5).await, "no. 5");
    assert_eq!(fails("std error", 5).await, "invalid digit found in string");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_succeed_fails_at_once() {
    assert_eq!(fails("fatal", 1).await, "for good");
    assert_eq!(fails("too large", 1).await, "the result has 2002 bytes, more than the 1000 allowed");
    assert!(fails("nul", 1).await.contains("\\u0000"));
    assert_eq!(fails("nul in error", 1).await, "a\u{fffd}b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_another_shape_fails_at_once() {
    let queue = Queue::new().await;
    let _worker = start(Worker::builder().handler("act", act), config(), queue.servers());
    let id = queue.submit_one(task("act", r#"{"not": "a string"}"#)).await;
    let task = queue.reaches(id, Status::Failed).await;
    assert_eq!(task.attempt, 1);
    assert!(task.error.expect("a reason").starts_with("payload: invalid type: map"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_and_the_worker_lives_on() {
    assert_eq!(recovers("panic").await, ["1: the handler panicked: out of the blue"]);
    assert_eq!(recovers("panic later").await, ["1: the handler panicked: out of the blue"]);
    assert_eq!(recovers("panic in drop").await, ["1: timed out after 100ms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_takes_too_long_has_failed() {
    assert_eq!(recovers("too slow").await, ["1: timed out after 100ms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_beyond_the_limit_are_cut_to_it() {
    for text in ["far future", "far retry"] {
        let queue = Queue::new().await;
        let _worker = start(Worker::builder().handler("act", act), slots(1), queue.servers());
        let id = queue.submit_one(order(text)).await;
        queue.reaches(id, Status::Scheduled).await;
        let next = queue.submit_one(order("result")).await;
        queue.reaches(next, Status::Done).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn again_burns_no_attempt() {
    let queue = Queue::new().await;
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = calls.clone();
    let poll = move |task: Context| {
        let call = counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move { if call < 7 { Err(TaskError::again(Duration::from_millis(20))) } else { Ok(task.attempt()) } }
    };
    let _worker = start(Worker::builder().handler("poll", poll), config(), queue.servers());
    let id = queue.submit_one(task("poll", "1")).await;
    assert_eq!(queue.reaches(id, Status::Done).await.attempt, 1);
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 8);
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.failures").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_result_leaves_its_neighbours_alone() {
    let queue = Queue::new().await;
    let mut batch = vec![order("result"); 64];
    batch[17] = order("nul");
    batch[40] = order("nul in error");
    let ids = queue.submit(batch).await;
    let _worker = start(Worker::builder().handler("act", act), slots(64), queue.servers());
    for (place, task) in queue.ended(&ids).await.iter().enumerate() {
        let expected = if place == 17 || place == 40 { Status::Failed } else { Status::Done };
        assert_eq!(task.status, expected, "{task:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_while_a_task_runs_and_gone_afterwards() {
    let queue = Queue::new().await;
    let go = tokio_util::sync::CancellationToken::new();
    let step = go.clone();
    let work = move |task: Context| {
        let step = step.clone();
        async move {
            for percent in 0..1000 {
                task.progress(&serde_json::json!({"percent": percent}));
            }
            step.cancelled().await;
            Ok(())
        }
    };
    let _worker = start(Worker::builder().handler("work", work), config(), queue.servers());
    let id = queue.submit_one(task("work", "1")).await;
    eventually("the last report is seen", async || {
        let report = queue.get(id).await.progress?;
        (report.get() == r#"{"percent":999}"#).then_some(())
    })
    .await;
    go.cancel();
    assert!(queue.reaches(id, Status::Done).await.progress.is_none());
    queue.counts(0, "SELECT count(*) FROM taskrow.progress").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_an_unknown_kind_stays_queued() {
    let queue = Queue::new().await;
    let _worker = start(Worker::builder().handler("act", act), config(), queue.servers());
    let stranger = queue.submit_one(task("unheard-of", "1")).await;
    let known = queue.submit(tasks(10, "act", r#""result""#)).await;
    for id in known {
        queue.reaches(id, Status::Done).await;
    }
    assert_eq!(queue.get(stranger).await.status, Status::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_block_its_thread_without_costing_the_lease() {
    let queue = Queue::new().await;
    let block = async |_: Context| -> Result<(), TaskError> {
        std::thread::sleep(Duration::from_millis(1_500));
        Ok(())
    };
    let short = worker::WorkerConfig { lease_ttl: Duration::from_secs(5), ..slots(1) };
    let worker = start(Worker::builder().handler("block", block), short, queue.servers());
    let ids = queue.submit(tasks(3, "block", "1")).await;
    queue.done_at(&ids, 1).await;
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 0);
}
