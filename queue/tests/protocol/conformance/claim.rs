//! Taking tasks.

use std::time::Duration;

use queue::{BatchId, Lane, Status, claim::held, overview, workers::WorkerId};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, ids, register},
    tasks::{But, default_lane, lane, name, several, task},
};

specifications![
    most_urgent_first_then_first_in_first_out,
    never_more_than_asked_and_the_rest_keeps_its_place,
    the_last_place_of_a_batch_is_a_task_too,
    never_more_batches_than_asked,
    a_claim_tells_what_to_run,
    what_is_claimed_is_not_claimed_again,
    scheduled_tasks_are_not_claimed,
    only_lanes_asked_for_are_claimed,
    a_paused_queue_is_not_claimed,
    the_lane_with_the_most_urgent_task_comes_first,
    equally_urgent_lanes_come_in_the_order_asked,
    one_claim_may_span_lanes,
    a_worker_learns_what_it_holds,
    a_worker_found_dead_claims_nothing,
    a_worker_nobody_knows_claims_nothing,
];

async fn most_urgent_first_then_first_in_first_out(queue: &mut Harness) {
    let low = queue.submit_one(task().priority(-100)).await;
    let first = queue.submit_one(task()).await;
    let second = queue.submit_one(task()).await;
    let high = queue.submit_one(task().priority(100)).await;
    let worker = queue.worker().await;
    for expected in [high, first, second, low] {
        assert_eq!(queue.claim_one(worker).await.id, expected);
    }
    assert!(queue.claim(worker, 1).await.is_empty());
}

async fn never_more_than_asked_and_the_rest_keeps_its_place(queue: &mut Harness) {
    let first = queue.submit_plain(64).await;
    let second = queue.submit_plain(64).await;
    let all = [first, second].concat();
    let worker = queue.worker().await;
    let mut start = 0;
    for size in [1, 10, 52, 5, 60] {
        let claimed = queue.claim(worker, size).await;
        assert_eq!(ids(&claimed), all[start..start + size], "{size} from {start} on");
        start += size;
    }
    assert_eq!(start, all.len());
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 0);
}

async fn the_last_place_of_a_batch_is_a_task_too(queue: &mut Harness) {
    let all = queue.submit_plain(64).await;
    let worker = queue.worker().await;
    assert_eq!(ids(&queue.claim(worker, 63).await), all[..63]);
    assert_eq!(queue.status(all[63]).await, Status::Queued);
    assert_eq!(ids(&queue.claim(worker, 63).await), all[63..]);
}

async fn never_more_batches_than_asked(queue: &mut Harness) {
    for _ in 0..5 {
        queue.submit_plain(2).await;
    }
    let worker = queue.worker().await;
    assert_eq!(queue.claim_from(worker, 1000, 3, &[default_lane()]).await.len(), 6);
    assert_eq!(queue.claim_from(worker, 1000, 3, &[default_lane()]).await.len(), 4);
}

async fn a_claim_tells_what_to_run(queue: &mut Harness) {
    let given = task().payload("[7]").attempts(4).timeout(Duration::from_millis(1500)).lane("q", "resize");
    let id = queue.submit_one(given).await;
    let worker = queue.worker_of(&["q"], &["resize"]).await;
    let claimed = queue.claim_from(worker, 10, 10, &[lane("q", "resize")]).await.pop().unwrap();
    assert_eq!((claimed.id, claimed.lane), (id, lane("q", "resize")));
    assert_eq!((claimed.attempt, claimed.max_attempts), (1, 4));
    assert_eq!(claimed.timeout, Duration::from_millis(1500));
    assert_eq!(claimed.payload.get(), "[7]");
    let found = queue.get(id).await;
    assert_eq!((found.status, found.attempt, found.worker), (Status::Processing, 1, Some(worker.0)));
}

async fn what_is_claimed_is_not_claimed_again(queue: &mut Harness) {
    queue.submit_plain(10).await;
    let [one, other] = [queue.worker().await, queue.worker().await];
    assert_eq!(queue.claim(one, 100).await.len(), 10);
    assert!(queue.claim(other, 100).await.is_empty());
    assert!(queue.claim(one, 100).await.is_empty());
}

async fn scheduled_tasks_are_not_claimed(queue: &mut Harness) {
    queue.submit_one(task().after(Duration::from_secs(60))).await;
    let worker = queue.worker().await;
    assert!(queue.claim(worker, 10).await.is_empty());
}

async fn only_lanes_asked_for_are_claimed(queue: &mut Harness) {
    let mine = queue.submit_one(task().lane("a", "x")).await;
    queue.submit_one(task().lane("a", "y").priority(100)).await;
    queue.submit_one(task().lane("b", "x").priority(100)).await;
    let worker = queue.worker_of(&["a"], &["x"]).await;
    assert_eq!(ids(&queue.claim_from(worker, 10, 10, &[lane("a", "x")]).await), [mine]);
    assert!(queue.claim_from(worker, 10, 10, &[]).await.is_empty());
}

async fn a_paused_queue_is_not_claimed(queue: &mut Harness) {
    let waits = queue.submit_one(task().lane("paused", "x").priority(100)).await;
    let runs = queue.submit_one(task().lane("running", "x")).await;
    let worker = queue.worker_of(&["paused", "running"], &["x"]).await;
    let lanes = [lane("paused", "x"), lane("running", "x")];
    overview::pause(&mut queue.durable, &name("paused")).await.unwrap();
    assert_eq!(ids(&queue.claim_from(worker, 10, 10, &lanes).await), [runs]);
    assert_eq!(queue.status(waits).await, Status::Queued);
    overview::resume(&mut queue.durable, &name("paused")).await.unwrap();
    assert_eq!(ids(&queue.claim_from(worker, 10, 10, &lanes).await), [waits]);
}

async fn the_lane_with_the_most_urgent_task_comes_first(queue: &mut Harness) {
    queue.submit_one(task().lane("a", "x")).await;
    let urgent = queue.submit_one(task().lane("b", "x").priority(1)).await;
    let worker = queue.worker_of(&["a", "b"], &["x"]).await;
    assert_eq!(ids(&queue.claim_from(worker, 1, 10, &[lane("a", "x"), lane("b", "x")]).await), [urgent]);
}

/// A worker that turns the order from claim to claim serves all its lanes.
async fn equally_urgent_lanes_come_in_the_order_asked(queue: &mut Harness) {
    let lanes = ["a", "b", "c"].map(|queue| lane(queue, "x"));
    for lane in &lanes {
        queue.submit(several(3, &task().lane(lane.queue.as_str(), "x"))).await;
    }
    let worker = queue.worker_of(&["a", "b", "c"], &["x"]).await;
    for turn in 0..9 {
        let mut turned: Vec<Lane> = lanes.to_vec();
        turned.rotate_left(turn % 3);
        let claimed = queue.claim_from(worker, 1, 1, &turned).await.pop().unwrap();
        assert_eq!(claimed.lane, lanes[turn % 3], "turn {turn}");
    }
}

async fn one_claim_may_span_lanes(queue: &mut Harness) {
    let a = queue.submit(several(3, &task().lane("a", "x"))).await;
    let b = queue.submit(several(3, &task().lane("b", "x"))).await;
    let worker = queue.worker_of(&["a", "b"], &["x"]).await;
    let claimed = queue.claim_from(worker, 4, 10, &[lane("a", "x"), lane("b", "x")]).await;
    assert_eq!(ids(&claimed), [&a[..], &b[..1]].concat());
    let batches: Vec<BatchId> = claimed.iter().map(|task| task.id.batch()).collect();
    let leases: Vec<_> = claimed.iter().map(|task| task.lease).collect();
    assert_eq!(leases[0] == leases[3], batches[0] == batches[3], "a lease is of one batch");
}

/// For a claim whose answer was lost.
async fn a_worker_learns_what_it_holds(queue: &mut Harness) {
    let all = queue.submit_plain(70).await;
    let [worker, other] = [queue.worker().await, queue.worker().await];
    let claimed = queue.claim(worker, 66).await;
    queue.claim(other, 4).await;
    queue.finish_all(worker, &claimed[..2], done()).await;
    let mut held = held(&mut queue.durable, worker).await.unwrap();
    held.sort_by_key(|lease| lease.tasks[0]);
    assert!(held.iter().all(|lease| lease.lane == default_lane()));
    assert_eq!(held.iter().map(|lease| lease.id).collect::<Vec<_>>(), [claimed[2].lease, claimed[65].lease]);
    assert_eq!(held.into_iter().flat_map(|lease| lease.tasks).collect::<Vec<_>>(), all[2..66]);
}

async fn a_worker_found_dead_claims_nothing(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let dead = queue.worker().await;
    queue.bury(dead).await;
    assert!(queue.claim(dead, 10).await.is_empty());
    assert_eq!(queue.status(id).await, Status::Queued);
    let reborn = register(&mut queue.durable, &["default"], &["echo"]).await;
    assert_eq!(queue.claim(reborn, 10).await.len(), 1);
}

async fn a_worker_nobody_knows_claims_nothing(queue: &mut Harness) {
    queue.submit_one(task()).await;
    assert!(queue.claim(WorkerId(4711), 10).await.is_empty());
    let gone = queue.worker().await;
    queue.deregister(gone).await;
    assert!(queue.claim(gone, 10).await.is_empty());
}
