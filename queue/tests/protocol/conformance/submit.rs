//! Storing tasks.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use queue::{
    Status, TaskId,
    submit::{Stored, Submission, store},
};

use super::specifications;
use crate::support::{
    Harness,
    tasks::{But, apart, several, task},
};

specifications![
    ids_come_in_the_order_given,
    tasks_that_share_their_options_share_batches_of_64,
    other_options_make_other_batches,
    a_delay_schedules,
    a_time_to_come_schedules_and_a_past_one_does_not,
    what_falls_due_while_it_is_stored_stands_in_one_place,
    storing_twice_stores_once,
    storing_again_after_the_tasks_moved_changes_nothing,
    all_or_nothing,
    the_payload_is_kept_byte_for_byte,
    unknown_ids_are_not_found,
    ten_thousand_batches_are_stored_at_once,
];

async fn ids_come_in_the_order_given(queue: &mut Harness) {
    let given = vec![
        task().payload("1").priority(5),
        task().payload("2").lane("other", "resize").attempts(7).timeout(Duration::from_millis(1234)),
        task().payload("3").priority(5),
    ];
    let ids = queue.submit(given.clone()).await;
    assert_eq!(ids.len(), 3);
    for (id, given) in ids.into_iter().zip(given) {
        let found = queue.get(id).await;
        assert_eq!(found.id, id);
        assert_eq!(found.payload.get(), given.payload.get());
        assert_eq!(found.queue, given.options.lane.queue.as_str());
        assert_eq!(found.kind, given.options.lane.kind.as_str());
        assert_eq!(found.priority, given.options.priority);
        assert_eq!(found.max_attempts, given.options.max_attempts);
        assert_eq!(u128::from(found.timeout_ms.unsigned_abs()), given.options.timeout.as_millis());
        assert_eq!((found.status, found.attempt), (Status::Queued, 0));
        assert!(found.result.is_none() && found.error.is_none() && found.run_at.is_none() && found.worker.is_none());
    }
}

async fn tasks_that_share_their_options_share_batches_of_64(queue: &mut Harness) {
    let ids = queue.submit_plain(130).await;
    assert_eq!(batch_sizes(&ids), [64, 64, 2]);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 3);
}

async fn other_options_make_other_batches(queue: &mut Harness) {
    let ids = queue
        .submit(vec![
            task(),
            task().lane("other", "echo"),
            task().lane("default", "other"),
            task().priority(1),
            task().attempts(9),
            task().timeout(Duration::from_secs(9)),
            task().after(Duration::from_secs(3600)),
            task().after(Duration::from_secs(7200)),
            task(),
        ])
        .await;
    assert_eq!(batch_sizes(&ids), [2, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(ids[0].batch(), ids[8].batch());
}

async fn a_delay_schedules(queue: &mut Harness) {
    let submission = Submission::new(vec![
        task().after(Duration::from_secs(3600)),
        task(),
        task().after(Duration::ZERO),
        task().after(Duration::from_secs(3600)),
    ]);
    let ids = submission.ids().to_vec();
    let stored = store(&queue.durable, &submission).await.unwrap();
    assert_eq!(stored, Stored::Now(HashSet::from([ids[0].batch()])));
    let [later, now, at_once, with_it] = [0, 1, 2, 3].map(|index| ids[index]);
    for id in [later, with_it] {
        let found = queue.get(id).await;
        assert_eq!(found.status, Status::Scheduled);
        let wait = found.run_at.expect("a scheduled task tells when") - found.created_at;
        assert!((wait - TimeDelta::hours(1)).abs() < TimeDelta::minutes(1), "{wait}");
    }
    assert_eq!(queue.status(now).await, Status::Queued);
    assert_eq!(queue.status(at_once).await, Status::Queued);
}

async fn a_time_to_come_schedules_and_a_past_one_does_not(queue: &mut Harness) {
    let time = Utc::now() + TimeDelta::days(2);
    let later = queue.submit_one(task().at(time)).await;
    let past = queue.submit_one(task().at(Utc::now() - TimeDelta::days(2))).await;
    let found = queue.get(later).await;
    assert_eq!(found.status, Status::Scheduled);
    assert_eq!(found.run_at.unwrap().timestamp_micros(), time.timestamp_micros());
    assert_eq!(queue.stand(past).await, (Status::Queued, 0));
    assert_eq!(queue.get(past).await.run_at, None);
}

/// The clock goes on within a statement: whether a batch is due must be decided once.
async fn what_falls_due_while_it_is_stored_stands_in_one_place(queue: &mut Harness) {
    for _ in 0..5 {
        let mut tasks = apart(3000, &task());
        for (index, task) in tasks.iter_mut().enumerate() {
            *task = task.clone().after(Duration::from_millis(1 + index as u64 % 200));
        }
        queue.submit(tasks).await;
        queue.check_invariants().await;
    }
}

async fn storing_twice_stores_once(queue: &mut Harness) {
    let submission = Submission::new(vec![task(), task().after(Duration::from_secs(3600))]);
    assert!(matches!(store(&queue.durable, &submission).await.unwrap(), Stored::Now(_)));
    assert_eq!(store(&queue.durable, &submission).await.unwrap(), Stored::Before);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 2);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 1);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.scheduled").await, 1);
}

async fn storing_again_after_the_tasks_moved_changes_nothing(queue: &mut Harness) {
    let submission = Submission::new(several(3, &task()));
    store(&queue.durable, &submission).await.unwrap();
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 2).await;
    queue.finish_all(worker, &claimed[..1], crate::support::harness::done()).await;
    assert_eq!(store(&queue.durable, &submission).await.unwrap(), Stored::Before);
    for (id, status) in submission.ids().to_vec().into_iter().zip([Status::Done, Status::Processing, Status::Queued]) {
        assert_eq!(queue.status(id).await, status);
    }
}

async fn all_or_nothing(queue: &mut Harness) {
    let mut tasks = several(100, &task());
    tasks[70].options.priority = 101; // Beyond what the schema allows; callers never send it.
    assert!(store(&queue.durable, &Submission::new(tasks)).await.is_err());
    for table in ["records", "ready", "scheduled"] {
        assert_eq!(queue.number(&format!("SELECT count(*) FROM taskrow.{table}")).await, 0, "{table}");
    }
}

async fn the_payload_is_kept_byte_for_byte(queue: &mut Harness) {
    let text = r#"{"b": 1.00,  "a":[1e2, "\u00e9 é \\u0000"], "b":2}"#;
    let id = queue.submit_one(task().payload(text)).await;
    assert_eq!(queue.get(id).await.payload.get(), text);
    let worker = queue.worker().await;
    assert_eq!(queue.claim_one(worker).await.payload.get(), text);
}

async fn unknown_ids_are_not_found(queue: &mut Harness) {
    let stored = queue.submit_one(task()).await;
    assert!(queue.find(stored.batch().task(1)).await.is_none());
    assert!(queue.find(queue::BatchId::new().task(0)).await.is_none());
}

async fn ten_thousand_batches_are_stored_at_once(queue: &mut Harness) {
    let ids = queue.submit(apart(10_000, &task())).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 10_000);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 10_000);
}

/// Tasks per batch, in the order of the batches.
fn batch_sizes(ids: &[TaskId]) -> Vec<usize> {
    let mut sizes = BTreeMap::new();
    for id in ids {
        *sizes.entry(id.batch()).or_insert(0) += 1;
    }
    sizes.into_values().collect()
}
