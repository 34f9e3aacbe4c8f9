//! Cancelling by hand, in each state.

use std::time::Duration;

use queue::{
    BatchId, Status,
    cancel::Cancelled,
    finish::{Fenced, Outcome},
    retry::Retried,
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, failed, ids, retry_later},
    tasks::{But, task},
};

specifications![
    a_queued_task_is_cancelled_at_once,
    its_neighbours_stay,
    a_scheduled_task_is_cancelled_at_once,
    a_task_between_attempts_keeps_what_it_burnt,
    a_running_task_is_asked_of_its_worker,
    a_running_task_may_still_finish,
    a_final_task_stays_as_it_is,
    an_unknown_task_is_not_found,
    a_cancelled_task_can_be_retried_and_cancelled_again,
];

async fn a_queued_task_is_cancelled_at_once(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    assert_eq!(queue.cancel(id).await, Cancelled::Now);
    let found = queue.get(id).await;
    assert_eq!((found.status, found.attempt, found.worker), (Status::Cancelled, 0, None));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 0);
    let worker = queue.worker().await;
    assert!(queue.claim(worker, 1).await.is_empty());
}

async fn its_neighbours_stay(queue: &mut Harness) {
    let all = queue.submit_plain(64).await;
    for place in [0, 31, 63] {
        assert_eq!(queue.cancel(all[place]).await, Cancelled::Now);
    }
    let worker = queue.worker().await;
    let claimed = ids(&queue.claim(worker, 64).await);
    let expected: Vec<_> =
        all.iter().enumerate().filter(|(place, _)| ![0, 31, 63].contains(place)).map(|(_, id)| *id).collect();
    assert_eq!(claimed, expected);
}

async fn a_scheduled_task_is_cancelled_at_once(queue: &mut Harness) {
    let all = queue.submit(vec![task().after(Duration::from_secs(60)); 2]).await;
    assert_eq!(queue.cancel(all[0]).await, Cancelled::Now);
    assert_eq!(queue.stand(all[0]).await, (Status::Cancelled, 0));
    assert_eq!(queue.stand(all[1]).await, (Status::Scheduled, 0));
    assert_eq!(queue.cancel(all[1]).await, Cancelled::Now);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.scheduled").await, 0);
}

async fn a_task_between_attempts_keeps_what_it_burnt(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.requeue_all(worker, &claimed, retry_later()).await;
    assert_eq!(queue.cancel(id).await, Cancelled::Now);
    assert_eq!(queue.stand(id).await, (Status::Cancelled, 1));
}

async fn a_running_task_is_asked_of_its_worker(queue: &mut Harness) {
    let all = queue.submit_plain(3).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 3).await;
    assert_eq!(queue.cancel(all[1]).await, Cancelled::Asked(worker));
    assert_eq!(queue.cancel(all[1]).await, Cancelled::Asked(worker));
    let found = queue.get(all[1]).await;
    assert!(found.status == Status::Processing && found.cancel_requested);
    assert!(!queue.get(all[0]).await.cancel_requested);
    assert_eq!(queue.finish_all(worker, &claimed[1..2], Outcome::Cancelled).await, [Fenced::Applied]);
    assert_eq!(queue.status(all[1]).await, Status::Cancelled);
    assert_eq!(queue.status(all[0]).await, Status::Processing);
}

async fn a_running_task_may_still_finish(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.cancel(id).await;
    assert_eq!(queue.finish_all(worker, &claimed, done()).await, [Fenced::Applied]);
    assert_eq!(queue.status(id).await, Status::Done);
    assert_eq!(queue.cancel(id).await, Cancelled::AlreadyFinal(Status::Done));
}

async fn a_final_task_stays_as_it_is(queue: &mut Harness) {
    let worker = queue.worker().await;
    for (outcome, status) in
        [(done(), Status::Done), (failed(), Status::Failed), (Outcome::Cancelled, Status::Cancelled)]
    {
        let id = queue.submit_one(task()).await;
        let claimed = queue.claim(worker, 1).await;
        queue.finish_all(worker, &claimed, outcome).await;
        assert_eq!(queue.cancel(id).await, Cancelled::AlreadyFinal(status));
        assert_eq!(queue.status(id).await, status);
    }
}

async fn an_unknown_task_is_not_found(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    assert_eq!(queue.cancel(BatchId::new().task(0)).await, Cancelled::NotFound);
    assert_eq!(queue.cancel(id.batch().task(1)).await, Cancelled::NotFound);
    assert_eq!(queue.status(id).await, Status::Queued);
}

async fn a_cancelled_task_can_be_retried_and_cancelled_again(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    for _ in 0..3 {
        assert_eq!(queue.cancel(id).await, Cancelled::Now);
        assert_eq!(queue.cancel(id).await, Cancelled::AlreadyFinal(Status::Cancelled));
        assert!(matches!(queue.retry(id).await, Retried::Queued(_)));
    }
    assert_eq!(queue.stand(id).await, (Status::Queued, 0));
}
