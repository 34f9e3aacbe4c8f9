//! Queues as operators see them.

use std::time::Duration;

use queue::overview::{self, KindOverview, Overview};

use super::specifications;
use crate::support::{
    Harness,
    harness::done,
    sql,
    tasks::{But, name, several, task},
};

specifications![
    open_tasks_are_counted_by_queue_and_kind,
    live_workers_are_counted_by_what_they_take,
    the_oldest_wait_is_that_of_the_first_in_line,
    a_pause_is_shown_and_kept,
    an_idle_queue_is_not_shown,
];

async fn look(queue: &mut Harness) -> Overview {
    overview::overview(&mut queue.durable).await.unwrap()
}

async fn kind(queue: &mut Harness, of: &str, kind: &str) -> KindOverview {
    look(queue).await.queues[of].kinds[kind].clone()
}

async fn open_tasks_are_counted_by_queue_and_kind(queue: &mut Harness) {
    queue.submit_plain(100).await;
    queue.submit(several(7, &task().after(Duration::from_secs(60)))).await;
    queue.submit(several(5, &task().lane("default", "other"))).await;
    queue.submit(several(3, &task().lane("second", "echo"))).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 30).await;
    queue.finish_all(worker, &claimed[..10], done()).await;
    let seen = look(queue).await;
    assert!(!seen.is_estimate);
    let counts = |of: &str, kind: &str| {
        let kind = &seen.queues[of].kinds[kind];
        (kind.queued, kind.scheduled, kind.processing)
    };
    assert_eq!(counts("default", "echo"), (70, 7, 20));
    assert_eq!(counts("default", "other"), (5, 0, 0));
    assert_eq!(counts("second", "echo"), (3, 0, 0));
    assert_eq!(seen.queues["default"].total(|kind| kind.queued), 75);
}

async fn live_workers_are_counted_by_what_they_take(queue: &mut Harness) {
    queue.worker_of(&["a", "b"], &["x"]).await;
    queue.worker_of(&["a"], &["x", "y"]).await;
    let silent = queue.worker_of(&["a"], &["x"]).await;
    queue.silence(silent).await;
    let seen = look(queue).await;
    assert_eq!((seen.queues["a"].workers, seen.queues["b"].workers), (2, 1));
    assert_eq!((seen.queues["a"].kinds["x"].workers, seen.queues["a"].kinds["y"].workers), (2, 1));
    queue.submit_one(task().lane("a", "z")).await;
    assert_eq!(kind(queue, "a", "z").await.workers, 0);
}

async fn the_oldest_wait_is_that_of_the_first_in_line(queue: &mut Harness) {
    queue.submit_one(task()).await;
    sql::run(&mut queue.durable, "UPDATE taskrow.ready SET ready_at = ready_at - interval '1 hour'").await;
    queue.submit_one(task()).await;
    let wait = kind(queue, "default", "echo").await.oldest_wait.unwrap();
    assert!(wait >= Duration::from_secs(3600) && wait < Duration::from_secs(3700), "{wait:?}");
    assert_eq!(look(queue).await.queues["default"].oldest_wait().map(|wait| wait.as_secs() / 3600), Some(1));
}

async fn a_pause_is_shown_and_kept(queue: &mut Harness) {
    overview::pause(&mut queue.durable, &name("q")).await.unwrap();
    let since = look(queue).await.queues["q"].paused_at.unwrap();
    overview::pause(&mut queue.durable, &name("q")).await.unwrap();
    assert_eq!(look(queue).await.queues["q"].paused_at, Some(since));
    overview::resume(&mut queue.durable, &name("q")).await.unwrap();
    assert_eq!(look(queue).await.queues["q"].paused_at, None);
}

async fn an_idle_queue_is_not_shown(queue: &mut Harness) {
    queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.finish_all(worker, &claimed, done()).await;
    queue.deregister(worker).await;
    assert_eq!(look(queue).await, Overview::default());
}
