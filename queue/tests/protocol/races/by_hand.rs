//! Cancel, retry and promote by several at once, and against workers.

use std::time::Duration;

use queue::{
    Status, TaskId,
    cancel::{Cancelled, cancel},
    claim::{Floors, claim},
    finish::{Fenced, finish},
    promote::promote,
    requeue::{Reason, requeue},
    retry::{Retried, retry},
    session,
};
use tokio::task::JoinSet;

use crate::support::{
    Harness, On,
    gate::Gate,
    harness::{done, finished, returned},
    tasks::{But, apart, default_lane, several, task},
};

#[tokio::test(flavor = "multi_thread")]
async fn cancel_against_claim() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::DURABLE).await;
    let worker = queue.worker().await;
    let lanes = [default_lane()];
    for round in 0..150 {
        let all = queue.submit_plain(1 + round % 3).await;
        let mut floors = Floors::default();
        let (cancelled, claimed) =
            tokio::join!(cancel(&mut other, all[0]), claim(&mut queue.volatile, worker, 64, 9, &lanes, &mut floors));
        let mut claimed = claimed.unwrap();
        // A claim may pass by a row that changes under it; the next one finds it.
        claimed.extend(queue.claim(worker, 64).await);
        let has_it = claimed.iter().any(|task| task.id == all[0]);
        match cancelled.unwrap() {
            Cancelled::Now => assert!(!has_it, "cancelled before it started, and started"),
            Cancelled::Asked(of) => assert!(has_it && of == worker),
            other => panic!("{other:?}"),
        }
        assert_eq!(claimed.len(), all.len() - usize::from(!has_it));
        queue.check_invariants().await;
        queue.finish_all(worker, &claimed, done()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_against_finish_and_giving_back() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::DURABLE).await;
    let worker = queue.worker().await;
    for round in 0..150 {
        queue.submit_plain(2).await;
        let claimed = queue.claim(worker, 2).await;
        let id = claimed[0].id;
        let cancelled = if round % 2 == 0 {
            let given: Vec<_> = claimed.iter().map(|task| finished(task, done())).collect();
            let (cancelled, answers) = tokio::join!(cancel(&mut other, id), finish(&mut queue.durable, worker, &given));
            assert_eq!(answers.unwrap(), [Fenced::Applied; 2]);
            assert_eq!(queue.status(id).await, Status::Done);
            cancelled.unwrap()
        } else {
            let given: Vec<_> = claimed.iter().map(|task| returned(task, Reason::Release)).collect();
            let (cancelled, answers) =
                tokio::join!(cancel(&mut other, id), requeue(&mut queue.durable, worker, &given));
            answers.unwrap();
            assert_eq!(queue.status(id).await, Status::Cancelled);
            cancelled.unwrap()
        };
        assert_ne!(cancelled, Cancelled::Busy);
        assert_ne!(cancelled, Cancelled::NotFound);
        queue.check_invariants().await;
        queue.cancel(claimed[1].id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_retries_at_once_queue_a_task_once() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::DURABLE).await;
    let all = queue.submit_plain(50).await;
    for id in all {
        queue.cancel(id).await;
        let (one, two) = tokio::join!(retry(&mut queue.durable, id), retry(&mut other, id));
        let answers = [one.unwrap(), two.unwrap()];
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Retried::Queued(_))).count(), 1, "{answers:?}");
        assert!(answers.contains(&Retried::Open), "{answers:?}");
    }
    queue.check_invariants().await;
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 50);
}

/// Cancel and retry at once go on for ever without losing or doubling the task.
#[tokio::test(flavor = "multi_thread")]
async fn cancel_against_retry() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::DURABLE).await;
    let id = queue.submit_one(task()).await;
    for _ in 0..200 {
        let (cancelled, retried) = tokio::join!(cancel(&mut queue.durable, id), retry(&mut other, id));
        assert_ne!(cancelled.unwrap(), Cancelled::NotFound);
        assert_ne!(retried.unwrap(), Retried::NotFound);
    }
    queue.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promotion_by_several_moves_each_batch_once() {
    let mut queue = Harness::new(On::Machine).await;
    queue.submit(apart(3000, &task().after(Duration::from_secs(60)))).await;
    queue.let_due().await;
    let mut promoters = JoinSet::new();
    for _ in 0..4 {
        let mut connection = queue.connect(session::VOLATILE).await;
        promoters.spawn(async move {
            let mut moved = 0;
            loop {
                let promoted = promote(&mut connection).await.unwrap();
                moved += promoted.ready.len();
                if promoted.next_in != Some(Duration::ZERO) {
                    return moved;
                }
            }
        });
    }
    let mut moved: usize = promoters.join_all().await.into_iter().sum();
    // A promoter passes by what another one holds, and the other one may stop at a page.
    moved += queue.promote().await.ready.len();
    assert_eq!(moved, 3000);
    queue.check_invariants().await;
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 3000);
}

/// One promoter is held up by a row; another one does not wait for it.
#[tokio::test]
async fn promotion_passes_by_what_somebody_holds() {
    let mut queue = Harness::new(On::Machine).await;
    let all = queue.submit(apart(3, &task().after(Duration::from_secs(60)))).await;
    queue.let_due().await;
    let first = format!("SELECT FROM taskrow.scheduled WHERE batch = '{}' FOR UPDATE", all[0].batch().uuid());
    let gate = Gate::shut(&queue, &first).await;
    assert_eq!(queue.promote().await.ready.len(), 2);
    gate.open().await;
    assert_eq!(queue.promote().await.ready.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_against_promotion() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::DURABLE).await;
    for round in 0..100 {
        let all: Vec<TaskId> = queue.submit(several(1 + round % 2, &task().after(Duration::from_secs(60)))).await;
        queue.let_due().await;
        let (cancelled, promoted) = tokio::join!(cancel(&mut other, all[0]), promote(&mut queue.volatile));
        assert_eq!(cancelled.unwrap(), Cancelled::Now);
        promoted.unwrap();
        queue.check_invariants().await;
        assert_eq!(queue.status(all[0]).await, Status::Cancelled);
    }
}
