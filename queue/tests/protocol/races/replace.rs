//! A task is replaced while it is claimed, promoted, cancelled. Whoever runs it after a replacement was acknowledged gets the new payload.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use queue::{
    Status, TaskId,
    cancel::{Cancelled, cancel},
    claim::{Claimed, Floors, claim, claim_batches},
    keyed::{How, Request},
    promote::promote,
    session,
    workers::WorkerId,
};

use crate::support::{
    Harness, On,
    gate::Gate,
    harness::done,
    keys::{answer, how, replace, submit},
    tasks::{But, apart, default_lane, several, task},
};

async fn claim_all(connection: &mut AsyncPgConnection, worker: WorkerId) -> Vec<Claimed> {
    claim(connection, worker, 100, 100, &[default_lane()], &mut Floors::default()).await.unwrap()
}

/// The claim has its snapshot and waits for its worker's row; then the task is replaced.
async fn a_claim_with_an_older_snapshot(size: usize, by_batch: bool) {
    let mut queue = Harness::new(On::Machine).await;
    let worker = queue.worker().await;
    let request = Request::new(several(size, &task().payload("\"old\"")), replace("a"), None);
    let all: Vec<TaskId> = answer(&mut queue.durable, &request).await.tasks.iter().map(|task| task.id).collect();
    let mut other = queue.connect(session::VOLATILE).await;
    let mut gate = Gate::shut(&queue, "SELECT FROM taskrow.workers FOR UPDATE").await;
    let claimed = async {
        if by_batch {
            let batches = [all[0].batch()].into();
            claim_batches(&mut other, worker, 100, &batches, &[default_lane()]).await.unwrap().tasks
        } else {
            claim_all(&mut other, worker).await
        }
    };
    let replaced = async {
        gate.has_queue_of(1).await;
        let replaced = submit(&mut queue.durable, task().payload("\"new\""), replace("a")).await;
        gate.open().await;
        replaced
    };
    let (mut claimed, replaced) = tokio::join!(claimed, replaced);
    assert_eq!(replaced, (How::Replaced, all[0]));
    // What the older claim passed by is found by the next one.
    claimed.extend(queue.claim(worker, 100).await);
    assert_eq!(claimed.len(), size);
    let task = claimed.iter().find(|task| task.id == all[0]).unwrap();
    assert_eq!(task.payload.get(), "\"new\"");
    queue.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_with_an_older_snapshot_does_not_run_the_old_payload() {
    a_claim_with_an_older_snapshot(1, false).await;
    a_claim_with_an_older_snapshot(3, false).await;
    a_claim_with_an_older_snapshot(1, true).await;
    a_claim_with_an_older_snapshot(3, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_against_claim() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::VOLATILE).await;
    let worker = queue.worker().await;
    for round in 0..200 {
        let size = 1 + round % 3;
        let request = Request::new(several(size, &task().payload("\"old\"")), replace("a"), None);
        let id = answer(&mut queue.durable, &request).await.tasks[0].id;
        let new = Request::new(vec![task().payload("\"new\"")], replace("a"), None);
        // A claim that takes one task at a time splits the batch under the replacement.
        let split = async {
            let mut claimed = Vec::new();
            for _ in 0..size {
                claimed
                    .extend(claim(&mut other, worker, 1, 1, &[default_lane()], &mut Floors::default()).await.unwrap());
            }
            claimed
        };
        let (answer, mut claimed) = tokio::join!(answer(&mut queue.durable, &new), split);
        claimed.extend(queue.claim(worker, 100).await);
        let (how, found) = how(&answer);
        assert_eq!(found, id);
        let payload = claimed.iter().find(|task| task.id == id).unwrap().payload.get();
        match how {
            How::Replaced => assert_eq!(payload, "\"new\"", "{round}"),
            How::Kept => assert_eq!((payload, answer.tasks[0].status), ("\"old\"", Status::Processing), "{round}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(claimed.len(), size);
        queue.check_invariants().await;
        queue.finish_all(worker, &claimed, done()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_against_promotion() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::VOLATILE).await;
    let worker = queue.worker().await;
    for round in 0..100 {
        let given = several(1 + round % 2, &task().after(Duration::from_secs(60)));
        let all = answer(&mut queue.durable, &Request::new(given, replace("a"), None)).await.tasks;
        queue.let_due().await;
        let (replaced, promoted) =
            tokio::join!(submit(&mut queue.durable, task().payload("7"), replace("a")), promote(&mut other));
        promoted.unwrap();
        assert_eq!(replaced, (How::Replaced, all[0].id));
        queue.promote().await;
        queue.check_invariants().await;
        let claimed = queue.claim(worker, 9).await;
        assert_eq!(claimed.len(), all.len());
        assert_eq!(claimed[0].payload.get(), "7");
        queue.finish_all(worker, &claimed, done()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_against_cancel() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::DURABLE).await;
    for round in 0..100 {
        let given = several(1 + round % 2, &task());
        let old = answer(&mut queue.durable, &Request::new(given, replace("a"), None)).await.tasks;
        let ((how, id), cancelled) =
            tokio::join!(submit(&mut queue.durable, task().payload("7"), replace("a")), cancel(&mut other, old[0].id));
        assert_eq!(cancelled.unwrap(), Cancelled::Now);
        match how {
            How::Replaced => assert_eq!(id, old[0].id),
            How::Stored => assert_ne!(id, old[0].id, "the key was free again"),
            other => panic!("{other:?}"),
        }
        queue.check_invariants().await;
        for id in old.iter().map(|task| task.id).chain([id]) {
            queue.cancel(id).await;
        }
    }
}

/// Debouncing by many at once: the task runs once, with the payload of one that was told so.
#[tokio::test(flavor = "multi_thread")]
async fn many_replace_one_task() {
    let mut queue = Harness::new(On::Machine).await;
    let worker = queue.worker().await;
    queue.submit(apart(5, &task())).await;
    let mut submits = tokio::task::JoinSet::new();
    for number in 0..20 {
        let mut connection = queue.connect(session::DURABLE).await;
        submits.spawn(async move {
            let mut last = None;
            for _ in 0..10 {
                let new = task().payload(&number.to_string());
                let new = if number % 2 == 0 { new.after(Duration::from_secs(60)) } else { new };
                last = Some(submit(&mut connection, new, replace("a")).await);
            }
            last.unwrap().1
        });
    }
    let ids = submits.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    queue.let_due().await;
    queue.promote().await;
    assert_eq!(queue.claim(worker, 100).await.len(), 6);
    queue.check_invariants().await;
}
