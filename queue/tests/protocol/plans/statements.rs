//! Running every hot statement once, so that each connection has it prepared.

use std::{collections::BTreeSet, time::Duration};

use queue::{
    Status,
    callbacks::{Sweeper, make},
    claim::{Floors, claim, claim_batches},
    explain,
    inspect::Filter,
    keyed::{self, How, Request},
    progress,
    requeue::Reason,
    watch::{Question, look_at},
};

use crate::support::{
    Harness,
    harness::done,
    keys::{idempotency, replace, submit},
    sql,
    tasks::{But, default_lane, json, task},
};

/// Part of the statement that reads tasks by their ids.
pub(super) const LOOKUP: &str = "FROM unnest($1) AS wanted (id)";

/// Part of the statement that looks at tasks by their ids.
pub(super) const LOOK: &str = "FROM unnest($1, $2) AS wanted (id, is_whole)";

/// Its arguments; of all of them the outcome is asked, or more.
pub(super) fn look(ids: &[String], is_whole: bool) -> String {
    let (first, last) = (ids.iter().min().unwrap(), ids.iter().max().unwrap());
    let whole = vec![if is_whole { "t" } else { "f" }; ids.len()];
    format!("'{{{}}}', '{{{}}}', '{first}', '{last}'", ids.join(","), whole.join(","))
}

/// The arguments of [`LOOKUP`].
pub(super) fn lookup(ids: &[String]) -> String {
    let (first, last) = (ids.iter().min().unwrap(), ids.iter().max().unwrap());
    format!("'{{{}}}', '{first}', '{last}'", ids.join(","))
}

/// Submit runs on the durable connection, claims, heartbeat, promote, progress and reads on the volatile one, the rest on the durable.
pub(super) async fn run_each(queue: &mut Harness) {
    let worker = queue.worker().await;
    let own = queue.submit(vec![task().priority(100); 6]).await;
    let lanes = [default_lane()];
    let claimed = claim(&mut queue.volatile, worker, 4, 4, &lanes, &mut Floors::default()).await.unwrap();
    assert_eq!(claimed.len(), 4);
    for id in [own[0], own[5]] {
        explain::explain(&mut queue.volatile, id).await.unwrap().expect("a task");
    }
    progress::report(&mut queue.volatile, &[(claimed[0].id, 1, json("1"))]).await.unwrap();
    progress::forget(&mut queue.volatile, &[claimed[0].id]).await.unwrap();
    queue.heartbeat(worker).await;
    queue.finish_all(worker, &claimed[..2], done()).await;
    queue.finish_all(worker, &claimed[..1], done()).await;
    queue.requeue_all(worker, &claimed[2..], Reason::Release).await;
    for id in &own {
        queue.cancel(*id).await;
        queue.find(*id).await;
        look_at(&mut queue.volatile, &[(*id, Question::State)]).await.unwrap();
    }
    queue.retry(own[5]).await;
    queue.retry(own[0]).await;
    let told = BTreeSet::from([own[5].batch()]);
    let claimed = claim_batches(&mut queue.volatile, worker, 9, &told, &lanes).await.unwrap().tasks;
    assert!(!claimed.is_empty());
    queue.requeue_all(worker, &claimed, Reason::Release).await;
    queue.cancel(own[5]).await;
    let later = queue.submit_one(task().after(Duration::from_secs(1))).await;
    queue.promote().await;
    queue.cancel(later).await;
    queue.rescue().await;
    run_keyed(queue).await;
    make(&mut queue.durable).await.unwrap();
    Sweeper::default().sweep(&mut queue.durable).await.unwrap();
    for status in Status::ALL.into_iter().map(Some).chain([None]) {
        queue.list(&Filter { status, limit: 5, ..Filter::default() }).await;
    }
    queue.deregister(worker).await;
}

/// Submits with keys, and what follows from them. They run on the durable connection.
async fn run_keyed(queue: &mut Harness) {
    let request = Request::new(vec![task()], vec![], idempotency("plan", 1));
    keyed::store(&mut queue.durable, &request, true).await.unwrap();
    let request = Request::new(vec![task()], vec![], idempotency("plan", 1));
    keyed::store(&mut queue.durable, &request, true).await.unwrap();
    let (_, id) = submit(&mut queue.durable, task(), replace("plan")).await;
    for new in [task(), task().after(Duration::from_secs(3600)), task()] {
        assert_eq!(submit(&mut queue.durable, new, replace("plan")).await, (How::Replaced, id));
    }
    queue.cancel(id).await;
    queue.retry(id).await;
    queue.cancel(id).await;
}

/// Running a hot statement again prepares nothing new: each has one text, whatever is asked of it.
#[tokio::test]
async fn hot_statements_are_prepared_once() {
    let mut queue = Harness::new(crate::support::On::Machine).await;
    let prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%/*%$1%*/%'";
    run_each(&mut queue).await;
    let before = [sql::number(&mut queue.durable, prepared).await, sql::number(&mut queue.volatile, prepared).await];
    for _ in 0..3 {
        run_each(&mut queue).await;
    }
    let after = [sql::number(&mut queue.durable, prepared).await, sql::number(&mut queue.volatile, prepared).await];
    assert_eq!(before, after);
    assert!(before[0] >= 12 && before[1] >= 12, "{before:?}");
}
