//! Recording outcomes, and the fence around it.

use queue::{
    BatchId, Status,
    claim::LeaseId,
    finish::{Fenced, Finished, Outcome},
    requeue::Reason,
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, failed, finished},
    tasks::{But, task},
};

specifications![
    a_done_task_has_its_result,
    a_failed_task_has_its_error,
    a_cancelled_task_has_neither,
    finishing_again_changes_nothing,
    finishing_again_otherwise_is_refused,
    part_of_a_lease_can_be_finished,
    tasks_of_many_leases_are_finished_at_once,
    the_wrong_worker_is_refused,
    the_wrong_lease_is_refused,
    the_wrong_batch_is_refused,
    the_wrong_batch_is_refused_beside_the_right_one,
    a_task_never_claimed_is_refused,
    after_a_rescue_the_lease_is_lost,
    what_rescue_ended_is_not_called_the_workers_own,
    after_giving_back_the_lease_is_lost,
    one_refused_task_spoils_no_other,
    naming_a_task_twice_finishes_it_once,
    nothing_given_is_nothing_done,
];

async fn a_done_task_has_its_result(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    assert_eq!(queue.finish_all(worker, &claimed, done()).await, [Fenced::Applied]);
    let found = queue.get(id).await;
    assert_eq!((found.status, found.attempt, found.worker), (Status::Done, 1, Some(worker.0)));
    assert_eq!(found.result.unwrap().get(), "{\"ok\":true}");
    assert_eq!(found.error, None);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
}

async fn a_failed_task_has_its_error(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    let text = format!("bad\0 news {}", "é".repeat(10_000));
    assert_eq!(queue.finish_all(worker, &claimed, Outcome::Failed(text)).await, [Fenced::Applied]);
    let found = queue.get(id).await;
    assert_eq!(found.status, Status::Failed);
    assert!(found.result.is_none());
    let error = found.error.unwrap();
    assert!(error.starts_with("bad\u{fffd} news é") && error.len() <= 9000, "{}", error.len());
}

async fn a_cancelled_task_has_neither(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    assert_eq!(queue.finish_all(worker, &claimed, Outcome::Cancelled).await, [Fenced::Applied]);
    let found = queue.get(id).await;
    assert_eq!(found.status, Status::Cancelled);
    assert!(found.result.is_none() && found.error.is_none());
}

async fn finishing_again_changes_nothing(queue: &mut Harness) {
    let all = queue.submit_plain(3).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 3).await;
    queue.finish_all(worker, &claimed[..2], done()).await;
    let again = queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(again, [Fenced::AlreadyFinal, Fenced::AlreadyFinal, Fenced::Applied]);
    let again = queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(again, [Fenced::AlreadyFinal; 3]);
    for id in all {
        assert_eq!(queue.status(id).await, Status::Done);
    }
}

/// Only a repeat is a repeat: another outcome for a task that has one is not what was recorded.
async fn finishing_again_otherwise_is_refused(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.finish_all(worker, &claimed, failed()).await;
    assert_eq!(queue.finish_all(worker, &claimed, done()).await, [Fenced::LeaseLost]);
    assert_eq!(queue.status(id).await, Status::Failed);
}

async fn part_of_a_lease_can_be_finished(queue: &mut Harness) {
    let all = queue.submit_plain(64).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 64).await;
    for (at, (id, one)) in all.iter().zip(&claimed).enumerate().rev() {
        assert_eq!(queue.finish(worker, &[finished(one, done())]).await, [Fenced::Applied]);
        assert_eq!(queue.status(*id).await, Status::Done);
        assert_eq!(
            queue.number("SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases").await,
            at as i64
        );
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
}

async fn tasks_of_many_leases_are_finished_at_once(queue: &mut Harness) {
    let worker = queue.worker().await;
    let mut claimed = Vec::new();
    for _ in 0..10 {
        queue.submit_plain(7).await;
        claimed.extend(queue.claim(worker, 4).await);
    }
    claimed.reverse();
    assert_eq!(queue.finish_all(worker, &claimed, done()).await, [Fenced::Applied; 40]);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
}

async fn the_wrong_worker_is_refused(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let [owner, thief] = [queue.worker().await, queue.worker().await];
    let claimed = queue.claim(owner, 1).await;
    assert_eq!(queue.finish_all(thief, &claimed, done()).await, [Fenced::LeaseLost]);
    assert_eq!(queue.status(id).await, Status::Processing);
    assert_eq!(queue.finish_all(owner, &claimed, done()).await, [Fenced::Applied]);
    assert_eq!(queue.finish_all(thief, &claimed, done()).await, [Fenced::LeaseLost]);
}

async fn the_wrong_lease_is_refused(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim_one(worker).await;
    let wrong = Finished { lease: LeaseId(claimed.lease.0 + 1), id, outcome: done() };
    assert_eq!(queue.finish(worker, &[wrong]).await, [Fenced::LeaseLost]);
    assert_eq!(queue.status(id).await, Status::Processing);
}

async fn the_wrong_batch_is_refused(queue: &mut Harness) {
    let other = queue.submit_one(task().lane("other", "echo")).await;
    queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim_one(worker).await;
    let wrong = Finished { lease: claimed.lease, id: other, outcome: done() };
    assert_eq!(queue.finish(worker, &[wrong]).await, [Fenced::LeaseLost]);
    assert_eq!(queue.status(other).await, Status::Queued);
}

/// After a crash of Postgres a lease id may come twice, for two batches, and one flush may name both.
async fn the_wrong_batch_is_refused_beside_the_right_one(queue: &mut Harness) {
    let other = queue.submit_one(task().lane("other", "echo")).await;
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim_one(worker).await;
    let wrong = Finished { lease: claimed.lease, id: other, outcome: done() };
    let answers = queue.finish(worker, &[wrong, finished(&claimed, done())]).await;
    assert_eq!(answers, [Fenced::LeaseLost, Fenced::Applied]);
    assert_eq!(queue.status(other).await, Status::Queued);
    assert_eq!(queue.status(id).await, Status::Done);
}

async fn a_task_never_claimed_is_refused(queue: &mut Harness) {
    let waiting = queue.submit_plain(2).await;
    let worker = queue.worker().await;
    let claimed = queue.claim_one(worker).await;
    let guesses = [waiting[1], BatchId::new().task(0)];
    let finished: Vec<_> =
        guesses.iter().map(|id| Finished { lease: claimed.lease, id: *id, outcome: done() }).collect();
    assert_eq!(queue.finish(worker, &finished).await, [Fenced::LeaseLost; 2]);
    assert_eq!(queue.status(waiting[1]).await, Status::Queued);
}

async fn after_a_rescue_the_lease_is_lost(queue: &mut Harness) {
    let all = queue.submit_plain(3).await;
    let dead = queue.worker().await;
    let late = queue.claim(dead, 3).await;
    queue.bury(dead).await;
    assert_eq!(queue.finish_all(dead, &late, done()).await, [Fenced::LeaseLost; 3]);
    let next = queue.worker().await;
    let claimed = queue.claim(next, 2).await;
    assert_eq!(queue.finish_all(next, &claimed[..1], failed()).await, [Fenced::Applied]);
    assert_eq!(queue.finish_all(dead, &late, done()).await, [Fenced::LeaseLost; 3]);
    for (id, status) in all.into_iter().zip([Status::Failed, Status::Processing, Status::Queued]) {
        assert_eq!(queue.status(id).await, status);
    }
}

async fn what_rescue_ended_is_not_called_the_workers_own(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1)).await;
    let dead = queue.worker().await;
    let late = queue.claim(dead, 1).await;
    queue.bury(dead).await;
    assert_eq!(queue.status(id).await, Status::Failed);
    assert_eq!(queue.finish_all(dead, &late, done()).await, [Fenced::LeaseLost]);
}

async fn after_giving_back_the_lease_is_lost(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.requeue_all(worker, &claimed, Reason::Release).await;
    assert_eq!(queue.finish_all(worker, &claimed, done()).await, [Fenced::LeaseLost]);
    let again = queue.claim(worker, 1).await;
    assert_eq!(queue.finish_all(worker, &claimed, done()).await, [Fenced::LeaseLost]);
    assert_eq!(queue.finish_all(worker, &again, done()).await, [Fenced::Applied]);
    assert_eq!(queue.status(id).await, Status::Done);
}

async fn one_refused_task_spoils_no_other(queue: &mut Harness) {
    queue.submit_plain(5).await;
    let worker = queue.worker().await;
    let mut claimed = queue.claim(worker, 5).await;
    queue.requeue_all(worker, &claimed[1..2], Reason::Release).await;
    claimed[3].lease = LeaseId(9_999_999);
    let answers = queue.finish_all(worker, &claimed, done()).await;
    use Fenced::{Applied, LeaseLost};
    assert_eq!(answers, [Applied, LeaseLost, Applied, LeaseLost, Applied]);
}

async fn naming_a_task_twice_finishes_it_once(queue: &mut Harness) {
    let all = queue.submit_plain(2).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 2).await;
    let given = [0, 1, 0].map(|index: usize| finished(&claimed[index], done()));
    assert_eq!(queue.finish(worker, &given).await, [Fenced::Applied; 3]);
    assert_eq!(queue.status(all[0]).await, Status::Done);
}

async fn nothing_given_is_nothing_done(queue: &mut Harness) {
    let worker = queue.worker().await;
    assert!(queue.finish(worker, &[]).await.is_empty());
    assert!(queue.requeue(worker, &[]).await.is_empty());
}
