//! Queueing again by hand, in each state.

use std::time::Duration;

use queue::{BatchId, Status, finish::Fenced, retry::Retried};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, failed, retry_later},
    tasks::{But, task},
};

specifications![
    a_failed_task_waits_again_with_all_its_attempts,
    a_cancelled_task_waits_again,
    a_task_that_killed_its_workers_starts_anew,
    a_done_task_stays_done,
    an_open_task_stays_as_it_is,
    an_unknown_task_is_not_found,
    the_old_lease_gives_no_right_to_the_new_run,
    a_task_keeps_its_options,
];

async fn a_failed_task_waits_again_with_all_its_attempts(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1)).await;
    let worker = queue.worker().await;
    for _ in 0..3 {
        let claimed = queue.claim(worker, 1).await;
        assert_eq!((claimed[0].id, claimed[0].attempt), (id, 1));
        queue.finish_all(worker, &claimed, failed()).await;
        assert_eq!(queue.retry(id).await, Retried::Queued("default".to_owned()));
        let found = queue.get(id).await;
        assert_eq!((found.status, found.attempt, found.error), (Status::Queued, 0, None));
    }
}

async fn a_cancelled_task_waits_again(queue: &mut Harness) {
    let all = queue.submit_plain(3).await;
    queue.cancel(all[1]).await;
    assert!(matches!(queue.retry(all[1]).await, Retried::Queued(_)));
    let worker = queue.worker().await;
    assert_eq!(queue.claim(worker, 10).await.len(), 3);
}

async fn a_task_that_killed_its_workers_starts_anew(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1)).await;
    let dead = queue.worker().await;
    queue.claim(dead, 1).await;
    queue.bury(dead).await;
    assert_eq!(queue.status(id).await, Status::Failed);
    assert!(matches!(queue.retry(id).await, Retried::Queued(_)));
    assert_eq!(queue.number("SELECT crashes FROM taskrow.ready").await, 0);
}

async fn a_done_task_stays_done(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(queue.retry(id).await, Retried::Done);
    assert_eq!(queue.status(id).await, Status::Done);
}

async fn an_open_task_stays_as_it_is(queue: &mut Harness) {
    let scheduled = queue.submit_one(task().after(Duration::from_secs(60))).await;
    let id = queue.submit_one(task()).await;
    assert_eq!(queue.retry(scheduled).await, Retried::Open);
    assert_eq!(queue.retry(id).await, Retried::Open);
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    assert_eq!(queue.retry(id).await, Retried::Open);
    queue.requeue_all(worker, &claimed, retry_later()).await;
    assert_eq!(queue.retry(id).await, Retried::Open);
    assert_eq!(queue.stand(id).await, (Status::Scheduled, 1));
}

async fn an_unknown_task_is_not_found(queue: &mut Harness) {
    assert_eq!(queue.retry(BatchId::new().task(0)).await, Retried::NotFound);
}

async fn the_old_lease_gives_no_right_to_the_new_run(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let old = queue.claim(worker, 1).await;
    queue.finish_all(worker, &old, failed()).await;
    queue.retry(id).await;
    assert_eq!(queue.finish_all(worker, &old, done()).await, [Fenced::LeaseLost]);
    let new = queue.claim(worker, 1).await;
    assert_eq!(queue.finish_all(worker, &old, done()).await, [Fenced::LeaseLost]);
    assert_eq!(queue.finish_all(worker, &new, done()).await, [Fenced::Applied]);
}

async fn a_task_keeps_its_options(queue: &mut Harness) {
    let given = task().lane("q", "resize").priority(42).attempts(9).timeout(Duration::from_millis(77));
    let id = queue.submit_one(given).await;
    queue.cancel(id).await;
    // The row of ready is compared with the record by the invariants, which every specification ends with.
    assert_eq!(queue.retry(id).await, Retried::Queued("q".to_owned()));
}
