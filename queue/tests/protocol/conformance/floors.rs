//! Claims that start where live rows start.

use queue::{
    TaskId,
    claim::{Floors, claim},
    requeue::Reason,
    workers::WorkerId,
};

use super::specifications;
use crate::support::{
    Harness,
    tasks::{But, default_lane, lane, task},
};

specifications![
    a_floor_hides_nothing_above_it,
    a_more_urgent_task_is_never_below_a_floor,
    a_less_urgent_task_is_never_below_a_floor,
    the_rest_of_a_split_batch_is_not_below_the_floor,
    what_is_given_back_below_the_floor_is_found_from_the_front,
    what_turns_up_soon_below_what_was_claimed_is_found,
    floors_are_per_lane,
];

async fn take(queue: &mut Harness, worker: WorkerId, count: usize, floors: &mut Floors) -> Vec<TaskId> {
    let claimed = claim(&mut queue.volatile, worker, count, 100, &[default_lane()], floors).await.unwrap();
    floors.settle();
    let mut ids: Vec<_> = claimed.into_iter().map(|task| task.id).collect();
    ids.sort_unstable();
    ids
}

async fn a_floor_hides_nothing_above_it(queue: &mut Harness) {
    let worker = queue.worker().await;
    let mut floors = Floors::default();
    assert!(floors.are_clear());
    for _ in 0..5 {
        let ids = queue.submit_plain(3).await;
        assert_eq!(take(queue, worker, 10, &mut floors).await, ids);
        assert!(!floors.are_clear());
    }
}

async fn a_more_urgent_task_is_never_below_a_floor(queue: &mut Harness) {
    let worker = queue.worker().await;
    let mut floors = Floors::default();
    queue.submit_one(task()).await;
    take(queue, worker, 10, &mut floors).await;
    let plain = queue.submit_one(task()).await;
    let urgent = queue.submit_one(task().priority(1)).await;
    assert_eq!(take(queue, worker, 1, &mut floors).await, [urgent]);
    assert_eq!(take(queue, worker, 1, &mut floors).await, [plain]);
}

async fn a_less_urgent_task_is_never_below_a_floor(queue: &mut Harness) {
    let worker = queue.worker().await;
    let mut floors = Floors::default();
    let patient = queue.submit_one(task().priority(-7)).await;
    queue.submit_one(task().priority(7)).await;
    take(queue, worker, 1, &mut floors).await;
    assert_eq!(take(queue, worker, 10, &mut floors).await, [patient]);
    // Many ranks: more than floors remember.
    let mut all = Vec::new();
    for priority in -20..20 {
        all.push(queue.submit_one(task().priority(priority)).await);
    }
    for expected in all.iter().rev() {
        assert_eq!(take(queue, worker, 1, &mut floors).await, [*expected]);
    }
}

async fn the_rest_of_a_split_batch_is_not_below_the_floor(queue: &mut Harness) {
    let worker = queue.worker().await;
    let ids = queue.submit_plain(10).await;
    let mut floors = Floors::default();
    for id in ids {
        assert_eq!(take(queue, worker, 1, &mut floors).await, [id]);
    }
}

async fn what_is_given_back_below_the_floor_is_found_from_the_front(queue: &mut Harness) {
    let worker = queue.worker().await;
    let back = queue.submit_one(task()).await;
    let held = queue.claim(worker, 1).await;
    let mut floors = Floors::default();
    queue.submit_one(task()).await;
    take(queue, worker, 1, &mut floors).await;
    queue.requeue_all(worker, &held, Reason::Release).await;
    assert!(take(queue, worker, 1, &mut floors).await.is_empty());
    floors.clear();
    assert_eq!(take(queue, worker, 1, &mut floors).await, [back]);
}

async fn what_turns_up_soon_below_what_was_claimed_is_found(queue: &mut Harness) {
    let worker = queue.worker().await;
    let mut floors = Floors::default();
    let lanes = [default_lane()];
    for settled in [false, true] {
        let late = queue.submit_one(task()).await;
        let held = queue.claim(worker, 1).await;
        let early = queue.submit_one(task()).await;
        let claimed = claim(&mut queue.volatile, worker, 1, 1, &lanes, &mut floors).await.unwrap();
        assert_eq!(claimed[0].id, early);
        queue.requeue_all(worker, &held, Reason::Release).await;
        if settled {
            floors.settle();
            assert!(take(queue, worker, 1, &mut floors).await.is_empty());
            floors.clear();
        }
        assert_eq!(take(queue, worker, 1, &mut floors).await, [late]);
    }
}

async fn floors_are_per_lane(queue: &mut Harness) {
    let worker = queue.worker_of(&["default", "other"], &["echo"]).await;
    let lanes = [default_lane(), lane("other", "echo")];
    let mut floors = Floors::default();
    let early = queue.submit_one(task().lane("other", "echo")).await;
    queue.submit_one(task()).await;
    assert_eq!(claim(&mut queue.volatile, worker, 1, 1, &lanes, &mut floors).await.unwrap().len(), 1);
    floors.settle();
    let claimed = claim(&mut queue.volatile, worker, 1, 1, &lanes, &mut floors).await.unwrap();
    assert_eq!(claimed[0].id, early);
}
