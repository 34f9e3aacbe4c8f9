//! Giving tasks back.

use std::time::Duration;

use queue::{
    Status,
    cancel::Cancelled,
    claim::LeaseId,
    requeue::{Reason, Requeued, Returned},
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{again, ids, retry_later, returned},
    sql,
    tasks::{But, task},
};

specifications![
    a_retry_is_scheduled_and_burns_the_attempt,
    every_failure_is_kept,
    again_is_scheduled_and_burns_nothing,
    released_tasks_go_back_to_their_place,
    released_tasks_rejoin_their_batch,
    a_cancelled_task_ends_instead_of_going_back,
    each_task_of_a_call_has_its_own_reason,
    the_fence_is_that_of_finish,
    the_wrong_batch_is_refused_beside_the_right_one,
    giving_back_twice_gives_back_once,
    naming_a_task_twice_gives_it_back_once,
];

async fn a_retry_is_scheduled_and_burns_the_attempt(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    assert_eq!(queue.requeue_all(worker, &claimed, retry_later()).await, [Requeued::Applied]);
    let found = queue.get(id).await;
    assert_eq!((found.status, found.attempt), (Status::Scheduled, 1));
    assert_eq!(found.error.as_deref(), Some("flaky"));
    assert!(found.run_at.is_some());
    queue.let_due().await;
    queue.promote().await;
    let claimed = queue.claim_one(worker).await;
    assert_eq!((claimed.id, claimed.attempt), (id, 2));
}

async fn every_failure_is_kept(queue: &mut Harness) {
    queue.submit_one(task()).await;
    let worker = queue.worker().await;
    for error in ["first", "sec\0nd"] {
        let claimed = queue.claim(worker, 1).await;
        let reason = Reason::Retry { delay: Duration::ZERO, error: error.to_owned() };
        queue.requeue_all(worker, &claimed, reason).await;
        queue.let_due().await;
        queue.promote().await;
    }
    let kept = "SELECT worker || ' ' || attempt || ' ' || error FROM taskrow.failures ORDER BY failed_at";
    let kept = sql::lines(&mut queue.durable, kept).await;
    assert_eq!(kept, [format!("{} 1 first", worker.0), format!("{} 2 sec\u{fffd}nd", worker.0)]);
}

async fn again_is_scheduled_and_burns_nothing(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1)).await;
    let worker = queue.worker().await;
    for _ in 0..3 {
        let claimed = queue.claim(worker, 1).await;
        assert_eq!(claimed[0].attempt, 1);
        assert_eq!(queue.requeue_all(worker, &claimed, again()).await, [Requeued::Applied]);
        assert_eq!(queue.stand(id).await, (Status::Scheduled, 0));
        queue.let_due().await;
        queue.promote().await;
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.failures").await, 0);
}

async fn released_tasks_go_back_to_their_place(queue: &mut Harness) {
    let first = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.submit_one(task()).await;
    assert_eq!(queue.requeue_all(worker, &claimed, Reason::Release).await, [Requeued::Applied]);
    assert_eq!(queue.stand(first).await, (Status::Queued, 0));
    let claimed = queue.claim_one(worker).await;
    assert_eq!((claimed.id, claimed.attempt), (first, 1));
}

async fn released_tasks_rejoin_their_batch(queue: &mut Harness) {
    let all = queue.submit_plain(64).await;
    let [one, other] = [queue.worker().await, queue.worker().await];
    let a = queue.claim(one, 20).await;
    let b = queue.claim(other, 20).await;
    queue.requeue_all(other, &b, Reason::Release).await;
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 1);
    queue.requeue_all(one, &a[..10], Reason::Release).await;
    queue.requeue_all(one, &a[10..], Reason::Release).await;
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 1);
    assert_eq!(ids(&queue.claim(one, 64).await), all);
}

async fn a_cancelled_task_ends_instead_of_going_back(queue: &mut Harness) {
    let all = queue.submit_plain(3).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 3).await;
    for (one, reason) in claimed.iter().zip([retry_later(), again(), Reason::Release]) {
        assert_eq!(queue.cancel(one.id).await, Cancelled::Asked(worker));
        assert_eq!(queue.requeue(worker, &[returned(one, reason)]).await, [Requeued::Cancelled]);
    }
    for id in all {
        assert_eq!(queue.stand(id).await, (Status::Cancelled, 1));
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.failures").await, 0);
}

async fn each_task_of_a_call_has_its_own_reason(queue: &mut Harness) {
    let all = queue.submit_plain(5).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 5).await;
    queue.cancel(all[3]).await;
    let reasons = [retry_later(), again(), Reason::Release, Reason::Release];
    let given: Vec<_> = claimed.iter().zip(reasons).map(|(task, reason)| returned(task, reason)).collect();
    use Requeued::{Applied, Cancelled};
    assert_eq!(queue.requeue(worker, &given).await, [Applied, Applied, Applied, Cancelled]);
    use Status::{Processing, Queued, Scheduled};
    let expected = [(Scheduled, 1), (Scheduled, 0), (Queued, 0), (Status::Cancelled, 1), (Processing, 1)];
    for (id, expected) in all.into_iter().zip(expected) {
        assert_eq!(queue.stand(id).await, expected);
    }
}

async fn the_fence_is_that_of_finish(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let [owner, thief] = [queue.worker().await, queue.worker().await];
    let mut claimed = queue.claim(owner, 1).await;
    for reason in [retry_later(), again(), Reason::Release] {
        assert_eq!(queue.requeue_all(thief, &claimed, reason).await, [Requeued::LeaseLost]);
    }
    let lease = claimed[0].lease;
    claimed[0].lease = LeaseId(lease.0 + 1);
    assert_eq!(queue.requeue_all(owner, &claimed, Reason::Release).await, [Requeued::LeaseLost]);
    claimed[0].lease = lease;
    queue.bury(owner).await;
    assert_eq!(queue.requeue_all(owner, &claimed, again()).await, [Requeued::LeaseLost]);
    assert_eq!(queue.stand(id).await, (Status::Queued, 1));
}

async fn the_wrong_batch_is_refused_beside_the_right_one(queue: &mut Harness) {
    let other = queue.submit_one(task().lane("other", "echo")).await;
    queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim_one(worker).await;
    let wrong = Returned { lease: claimed.lease, id: other, reason: again() };
    let answers = queue.requeue(worker, &[returned(&claimed, again()), wrong]).await;
    assert_eq!(answers, [Requeued::Applied, Requeued::LeaseLost]);
    assert_eq!(queue.stand(other).await, (Status::Queued, 0));
}

async fn giving_back_twice_gives_back_once(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    assert_eq!(queue.requeue_all(worker, &claimed, retry_later()).await, [Requeued::Applied]);
    assert_eq!(queue.requeue_all(worker, &claimed, retry_later()).await, [Requeued::LeaseLost]);
    assert_eq!(queue.stand(id).await, (Status::Scheduled, 1));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.failures").await, 1);
}

/// After a crash of Postgres a worker may claim a task again under the very lease that it still runs it under.
async fn naming_a_task_twice_gives_it_back_once(queue: &mut Harness) {
    queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim_one(worker).await;
    let answers = queue.requeue(worker, &[returned(&claimed, again()), returned(&claimed, again())]).await;
    assert_eq!(answers, [Requeued::Applied; 2]);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.scheduled").await, 1);
}
