//! What is scheduled and due becomes ready.

use std::time::Duration;

use queue::{Status, promote::Promoted};

use super::specifications;
use crate::support::{
    Harness,
    harness::{ids, retry_later},
    sql,
    tasks::{But, apart, task},
};

specifications![
    only_what_is_due_moves,
    nothing_scheduled_is_nothing_to_wait_for,
    what_was_due_first_runs_first,
    burnt_attempts_are_kept,
    the_batches_that_became_ready_are_told,
    more_than_a_page_moves_page_by_page,
];

async fn only_what_is_due_moves(queue: &mut Harness) {
    let due = queue.submit_one(task().after(Duration::from_secs(60))).await;
    queue.let_due().await;
    let later = queue.submit_one(task().after(Duration::from_secs(600))).await;
    let promoted = queue.promote().await;
    assert_eq!(promoted.ready.iter().map(|batch| batch.lane.queue.as_str()).collect::<Vec<_>>(), ["default"]);
    let next = promoted.next_in.unwrap();
    assert!(next > Duration::from_secs(500) && next <= Duration::from_secs(600), "{next:?}");
    assert_eq!(queue.stand(due).await, (Status::Queued, 0));
    assert_eq!(queue.stand(later).await, (Status::Scheduled, 0));
    let again = queue.promote().await;
    assert_eq!(again.ready, []);
    assert!(again.next_in.is_some());
}

async fn nothing_scheduled_is_nothing_to_wait_for(queue: &mut Harness) {
    assert_eq!(queue.promote().await, Promoted::default());
    queue.submit_one(task().after(Duration::from_secs(1))).await;
    queue.let_due().await;
    assert_eq!(queue.promote().await.next_in, None);
}

async fn what_was_due_first_runs_first(queue: &mut Harness) {
    let mut all = Vec::new();
    for hours in [5, 3, 1, 4, 2] {
        all.push(queue.submit_one(task().after(Duration::from_secs(hours * 3600))).await);
    }
    queue.let_due().await;
    queue.promote().await;
    let worker = queue.worker().await;
    for index in [2, 4, 1, 3, 0] {
        assert_eq!(queue.claim_one(worker).await.id, all[index]);
    }
}

async fn burnt_attempts_are_kept(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    for burnt in 1..=2 {
        let claimed = queue.claim(worker, 1).await;
        queue.requeue_all(worker, &claimed, retry_later()).await;
        queue.let_due().await;
        queue.promote().await;
        assert_eq!(queue.stand(id).await, (Status::Queued, burnt));
    }
}

async fn the_batches_that_became_ready_are_told(queue: &mut Harness) {
    let mut expected = Vec::new();
    for (name, priority) in [("a", 0), ("b", -7), ("b", 100)] {
        let id = queue.submit_one(task().lane(name, "echo").priority(priority).after(Duration::from_secs(1))).await;
        expected.push((id.batch(), name.to_owned(), priority));
    }
    queue.submit_one(task().lane("c", "echo").after(Duration::from_secs(3600))).await;
    sql::run(&mut queue.durable, "UPDATE taskrow.scheduled SET run_at = clock_timestamp() WHERE queue <> 'c'").await;
    let ready = queue.promote().await.ready;
    let mut ready: Vec<_> =
        ready.into_iter().map(|batch| (batch.id, batch.lane.queue.to_string(), batch.priority)).collect();
    ready.sort_unstable();
    assert_eq!(ready, expected);
}

async fn more_than_a_page_moves_page_by_page(queue: &mut Harness) {
    let all = queue.submit(apart(2500, &task().after(Duration::from_secs(60)))).await;
    queue.let_due().await;
    let mut passes = Vec::new();
    loop {
        let promoted = queue.promote().await;
        passes.push(promoted.ready.len());
        if promoted.next_in != Some(Duration::ZERO) {
            assert_eq!(promoted.next_in, None);
            break;
        }
    }
    assert_eq!(passes, [1000, 1000, 500]);
    let worker = queue.worker().await;
    let mut claimed = Vec::new();
    while claimed.len() < all.len() {
        claimed.extend(ids(&queue.claim(worker, 1000).await));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, all);
}
