//! Taking what is left of batches that were told of.

use std::collections::BTreeSet;

use queue::{
    BatchId, Lane, Status, TaskId,
    claim::{ClaimedBatches, claim_batches},
    overview,
    requeue::Reason,
    workers::WorkerId,
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, ids, retry_later},
    tasks::{But, default_lane, lane, name, task},
};

specifications![
    only_what_is_told_is_taken,
    never_more_than_asked_and_what_is_left_is_told,
    a_batch_told_again_holds_nothing,
    parts_of_a_batch_with_different_attempts_are_taken_together,
    other_lanes_are_passed_over,
    a_paused_queue_is_passed_over,
    scheduled_and_unknown_batches_are_passed_over,
    a_worker_found_dead_takes_nothing,
];

async fn take(queue: &mut Harness, worker: WorkerId, tasks: usize, told: &[TaskId]) -> ClaimedBatches {
    take_from(queue, worker, tasks, told, &[default_lane()]).await
}

async fn take_from(
    queue: &mut Harness,
    worker: WorkerId,
    tasks: usize,
    told: &[TaskId],
    lanes: &[Lane],
) -> ClaimedBatches {
    let batches: BTreeSet<BatchId> = told.iter().map(|id| id.batch()).collect();
    let mut claimed = claim_batches(&mut queue.volatile, worker, tasks, &batches, lanes).await.unwrap();
    claimed.tasks.sort_by_key(|task| task.id);
    claimed
}

async fn only_what_is_told_is_taken(queue: &mut Harness) {
    let other = queue.submit_one(task().priority(100)).await;
    let told = queue.submit_plain(64).await;
    let worker = queue.worker().await;
    let claimed = take(queue, worker, 100, &told[..1]).await;
    assert_eq!((ids(&claimed.tasks), claimed.left), (told.clone(), vec![]));
    assert!(claimed.tasks.iter().all(|task| task.attempt == 1));
    assert_eq!(queue.status(other).await, Status::Queued);
    queue.finish_all(worker, &claimed.tasks, done()).await;
    assert_eq!(queue.status(told[63]).await, Status::Done);
}

async fn never_more_than_asked_and_what_is_left_is_told(queue: &mut Harness) {
    let first = queue.submit_plain(64).await;
    let second = queue.submit_plain(64).await;
    let told = [first.clone(), second.clone()].concat();
    let batch = |id: TaskId| id.batch();
    let worker = queue.worker().await;
    for (size, from, left) in [
        (10, 0, vec![batch(first[0]), batch(second[0])]),
        (54, 10, vec![batch(second[0])]),
        (63, 64, vec![batch(second[0])]),
        (1, 127, vec![]),
    ] {
        let mut claimed = take(queue, worker, size, &told).await;
        claimed.left.sort_unstable();
        assert_eq!((ids(&claimed.tasks), claimed.left), (told[from..from + size].to_vec(), left), "{size} from {from}");
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 0);
}

async fn a_batch_told_again_holds_nothing(queue: &mut Harness) {
    let told = queue.submit_plain(3).await;
    let (first, second) = (queue.worker().await, queue.worker().await);
    assert_eq!(take(queue, first, 10, &told).await.tasks.len(), 3);
    for worker in [first, second] {
        let again = take(queue, worker, 10, &told).await;
        assert_eq!((again.tasks.len(), again.left), (0, vec![]));
    }
}

async fn parts_of_a_batch_with_different_attempts_are_taken_together(queue: &mut Harness) {
    let told = queue.submit_plain(10).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 4).await;
    queue.requeue_all(worker, &claimed[..2], retry_later()).await;
    queue.requeue_all(worker, &claimed[2..], Reason::Release).await;
    queue.let_due().await;
    queue.promote().await;
    let claimed = take(queue, worker, 10, &told).await;
    assert_eq!((ids(&claimed.tasks), claimed.left), (told, vec![]));
    let attempts: Vec<_> = claimed.tasks.iter().map(|task| task.attempt).collect();
    assert_eq!(attempts, [2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
}

async fn other_lanes_are_passed_over(queue: &mut Harness) {
    let told = [
        queue.submit_one(task().lane("a", "x")).await,
        queue.submit_one(task().lane("a", "y")).await,
        queue.submit_one(task().lane("b", "x")).await,
        queue.submit_one(task().lane("b", "y")).await,
    ];
    let worker = queue.worker_of(&["a", "b"], &["x", "y"]).await;
    // Not each queue with each kind: the lanes as they are.
    let claimed = take_from(queue, worker, 10, &told, &[lane("a", "y"), lane("b", "x")]).await;
    assert_eq!((ids(&claimed.tasks), claimed.left), (told[1..3].to_vec(), vec![]));
    assert_eq!(queue.status(told[0]).await, Status::Queued);
}

async fn a_paused_queue_is_passed_over(queue: &mut Harness) {
    let told =
        [queue.submit_one(task().lane("paused", "x")).await, queue.submit_one(task().lane("running", "x")).await];
    let worker = queue.worker_of(&["paused", "running"], &["x"]).await;
    let lanes = [lane("paused", "x"), lane("running", "x")];
    overview::pause(&mut queue.durable, &name("paused")).await.unwrap();
    assert_eq!(ids(&take_from(queue, worker, 10, &told, &lanes).await.tasks), [told[1]]);
    overview::resume(&mut queue.durable, &name("paused")).await.unwrap();
    assert_eq!(ids(&take_from(queue, worker, 10, &told, &lanes).await.tasks), [told[0]]);
}

async fn scheduled_and_unknown_batches_are_passed_over(queue: &mut Harness) {
    let later = queue.submit_one(task().after(std::time::Duration::from_secs(3600))).await;
    let worker = queue.worker().await;
    let claimed = take(queue, worker, 10, &[later, BatchId::new().task(0)]).await;
    assert_eq!((claimed.tasks.len(), claimed.left), (0, vec![]));
    assert_eq!(queue.status(later).await, Status::Scheduled);
}

async fn a_worker_found_dead_takes_nothing(queue: &mut Harness) {
    let told = queue.submit_plain(2).await;
    let dead = queue.worker().await;
    queue.bury(dead).await;
    assert!(take(queue, dead, 10, &told).await.tasks.is_empty());
    let alive = queue.worker().await;
    assert_eq!(ids(&take(queue, alive, 10, &told).await.tasks), told);
}
