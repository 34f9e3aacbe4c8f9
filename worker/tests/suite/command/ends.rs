//! However a task ends, its processes do.

use std::time::Duration;

use queue::{Status, cancel::Cancelled};
use rustix::process::Signal;

use super::{Runner, gone, run, status};
use crate::support::eventually;

/// Says who it is, has a child that would go on for ever, and takes note of SIGTERM.
const POLITE: &str = r#"
    sleep 1000 & echo $! >$DIR/child
    trap 'echo told >$DIR/told; exit 1' TERM
    echo $$ >$DIR/parent
    wait
"#;

/// Ignores SIGTERM, as does its child.
const STUBBORN: &str = r#"
    trap '' TERM
    sleep 1000 & echo $! >$DIR/child
    echo $$ >$DIR/parent
    while :; do sleep 1000; done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_program_is_asked_first() {
    let runner = Runner::of(POLITE, "").await;
    let id = runner.submit("1").await;
    let (parent, child) = (runner.process("parent").await, runner.process("child").await);
    assert_eq!(status(parent).map(|(_, _, group)| group), Some(parent), "a group of its own");
    assert!(matches!(runner.queue.cancel(id).await, Cancelled::Asked(_)));
    runner.queue.reaches(id, Status::Cancelled).await;
    assert_eq!(runner.written("told").await, "told");
    gone(parent).await;
    gone(child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_listen_is_killed_with_its_children() {
    let runner = Runner::of(STUBBORN, "grace = \"100ms\"").await;
    let id = runner.submit("1").await;
    let (parent, child) = (runner.process("parent").await, runner.process("child").await);
    runner.queue.cancel(id).await;
    runner.queue.reaches(id, Status::Cancelled).await;
    gone(parent).await;
    gone(child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_beyond_the_workers_patience_holds_no_slot() {
    let runner =
        Runner::with(STUBBORN, "grace = \"1m\"", &[("WORKER_CONCURRENCY", "1"), ("WORKER_CANCEL_GRACE", "100ms")])
            .await;
    let id = runner.submit("1").await;
    let parent = runner.process("parent").await;
    runner.queue.cancel(id).await;
    runner.queue.reaches(id, Status::Cancelled).await;
    let echo = runner.queue.submit_one(crate::support::queue::task("echo", "1")).await;
    runner.queue.reaches(echo, Status::Done).await;
    assert!(status(parent).is_some(), "it still has its grace");
    runner.worker.signal(Signal::KILL);
    gone(parent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_own_timeout_ends_it_too() {
    let runner = Runner::of(POLITE, "").await;
    let mut task = run("1");
    task.options.timeout = Duration::from_millis(700);
    task.options.max_attempts = 1;
    let id = runner.queue.submit_one(task).await;
    let (parent, child) = (runner.process("parent").await, runner.process("child").await);
    assert_eq!(runner.queue.reaches(id, Status::Failed).await.error.expect("a reason"), "timed out after 700ms");
    assert_eq!(runner.written("told").await, "told");
    gone(parent).await;
    gone(child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kinds_own_timeout_keeps_the_complaint() {
    let runner = Runner::of("echo busy >&2; sleep 1000", "timeout = \"300ms\"").await;
    assert_eq!(runner.error("1").await, ("timed out after 300ms: busy".to_owned(), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_behind_ends_with_it_and_delays_nobody() {
    let runner = Runner::of("sleep 1000 & echo $! >$DIR/child; echo 1", "").await;
    assert_eq!(runner.result("1").await, "1");
    gone(runner.process("child").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_left_the_group_delays_a_result_by_a_moment_only() {
    let runner = Runner::of("setsid sleep 1000 & echo $! >$DIR/child; echo 1", "").await;
    assert_eq!(runner.result("1").await, "1");
    let child = runner.process("child").await;
    assert!(status(child).is_some(), "it is nobody's any more");
    let child = rustix::process::Pid::from_raw(child.cast_signed()).expect("not zero");
    rustix::process::kill_process(child, Signal::KILL).expect("a signal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_gives_the_task_back_and_leaves_no_process() {
    let settings = [("WORKER_DRAIN_BUDGET", "300ms"), ("WORKER_CANCEL_GRACE", "2s")];
    let mut runner = Runner::with(STUBBORN, "grace = \"200ms\"", &settings).await;
    let id = runner.submit("1").await;
    let (parent, child) = (runner.process("parent").await, runner.process("child").await);
    runner.worker.signal(Signal::TERM);
    assert_eq!(runner.worker.ended().await.code(), Some(0));
    let task = runner.queue.get(id).await;
    assert_eq!((task.status, task.attempt), (Status::Queued, 0));
    gone(parent).await;
    gone(child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_program_may_end_while_the_worker_drains() {
    let mut runner = Runner::of("echo $$ >$DIR/parent; while [ ! -e $DIR/go ]; do sleep 0.05; done; echo 1", "").await;
    let id = runner.submit("1").await;
    runner.process("parent").await;
    runner.worker.signal(Signal::TERM);
    eventually("it drains", async || runner.worker.output().contains("draining").then_some(())).await;
    std::fs::write(runner.path("go"), "").expect("written");
    assert_eq!(runner.worker.ended().await.code(), Some(0));
    assert_eq!(runner.queue.get(id).await.status, Status::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_does_not_outlive_a_worker_that_was_killed() {
    for signals in [vec![Signal::KILL], vec![Signal::TERM, Signal::TERM]] {
        let mut runner = Runner::of("echo $$ >$DIR/parent; exec sleep 1000", "").await;
        runner.submit("1").await;
        let parent = runner.process("parent").await;
        for signal in signals {
            runner.worker.signal(signal);
            if signal == Signal::TERM {
                eventually("it drains", async || runner.worker.output().contains("draining").then_some(())).await;
            }
        }
        assert_ne!(runner.worker.ended().await.code(), Some(0));
        gone(parent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_is_left_unawaited() {
    let runner = Runner::of("sleep 1000 & echo 1; exit $TASKROW_ATTEMPT", "fatal_codes = [1]").await;
    let ids = runner.queue.submit(vec![run("1"); 20]).await;
    runner.queue.ended(&ids).await;
    let worker = runner.worker.id();
    eventually("the worker has no children", async || {
        let processes = std::fs::read_dir("/proc").expect("a directory").filter_map(Result::ok);
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let children = ids.filter(|id| status(*id).is_some_and(|(_, parent, _)| parent == worker)).count();
        (children == 0).then_some(())
    })
    .await;
}
