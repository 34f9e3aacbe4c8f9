//! Two statements on one lease.

use queue::{
    Status,
    claim::Claimed,
    finish::{Fenced, finish},
    requeue::{Reason, Requeued, requeue},
    session,
};

use crate::support::{
    Harness, On,
    gate::Gate,
    harness::{done, finished, returned},
};

/// A worker with one lease of three tasks, and a gate on that lease.
async fn held() -> (Harness, queue::workers::WorkerId, Vec<Claimed>, Gate) {
    let mut queue = Harness::new(On::Machine).await;
    queue.submit_plain(3).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 3).await;
    let gate = Gate::shut(&queue, "SELECT FROM taskrow.leases FOR UPDATE").await;
    (queue, worker, claimed, gate)
}

/// The first finishes a part, the second the rest: the second must see what the first left.
#[tokio::test]
async fn two_parts_of_a_lease_end_it_between_them() {
    let (mut queue, worker, claimed, mut gate) = held().await;
    let mut other = queue.connect(session::DURABLE).await;
    let first: Vec<_> = claimed[..1].iter().map(|task| finished(task, done())).collect();
    let rest: Vec<_> = claimed[1..].iter().map(|task| finished(task, done())).collect();
    let (one, two, ()) =
        tokio::join!(finish(&mut queue.durable, worker, &first), finish(&mut other, worker, &rest), async {
            gate.has_queue_of(2).await;
            gate.open().await;
        });
    assert_eq!(one.unwrap(), [Fenced::Applied]);
    assert_eq!(two.unwrap(), [Fenced::Applied; 2]);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
    queue.check_invariants().await;
}

#[tokio::test]
async fn finishing_a_part_and_giving_back_the_rest_end_the_lease() {
    let (mut queue, worker, claimed, mut gate) = held().await;
    let mut other = queue.connect(session::DURABLE).await;
    let first: Vec<_> = claimed[..1].iter().map(|task| finished(task, done())).collect();
    let rest: Vec<_> = claimed[1..].iter().map(|task| returned(task, Reason::Release)).collect();
    let (one, two, ()) =
        tokio::join!(finish(&mut queue.durable, worker, &first), requeue(&mut other, worker, &rest), async {
            gate.has_queue_of(2).await;
            gate.open().await;
        });
    assert_eq!(one.unwrap(), [Fenced::Applied]);
    assert_eq!(two.unwrap(), [Requeued::Applied; 2]);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
    queue.check_invariants().await;
}

/// A connection broke, and the statement sent on it still runs when it is sent again on another.
#[tokio::test]
async fn a_repeat_that_overtakes_nothing_hears_that_it_is_one() {
    let (mut queue, worker, claimed, mut gate) = held().await;
    let mut other = queue.connect(session::DURABLE).await;
    let all: Vec<_> = claimed.iter().map(|task| finished(task, done())).collect();
    let (one, two, ()) =
        tokio::join!(finish(&mut queue.durable, worker, &all), finish(&mut other, worker, &all), async {
            gate.has_queue_of(2).await;
            gate.open().await;
        });
    let mut answers = [one.unwrap(), two.unwrap()];
    answers.sort_by_key(|answer| answer[0] == Fenced::AlreadyFinal);
    assert_eq!(answers, [[Fenced::Applied; 3], [Fenced::AlreadyFinal; 3]]);
    queue.check_invariants().await;
}

/// Whichever comes first decides; the other one is told.
#[tokio::test]
async fn one_task_finished_and_given_back_at_once_is_one_of_both() {
    for _ in 0..20 {
        let (mut queue, worker, claimed, mut gate) = held().await;
        let mut other = queue.connect(session::DURABLE).await;
        let end: Vec<_> = claimed.iter().map(|task| finished(task, done())).collect();
        let back: Vec<_> = claimed.iter().map(|task| returned(task, Reason::Release)).collect();
        let (ended, went_back, ()) =
            tokio::join!(finish(&mut queue.durable, worker, &end), requeue(&mut other, worker, &back), async {
                gate.has_queue_of(2).await;
                gate.open().await;
            });
        for (task, (ended, went_back)) in claimed.iter().zip(ended.unwrap().into_iter().zip(went_back.unwrap())) {
            let expected = match queue.status(task.id).await {
                Status::Done => (Fenced::Applied, Requeued::LeaseLost),
                _ => (Fenced::LeaseLost, Requeued::Applied),
            };
            assert_eq!((ended, went_back), expected);
        }
        queue.check_invariants().await;
    }
}
