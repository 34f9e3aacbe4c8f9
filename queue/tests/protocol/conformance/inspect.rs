//! Reading tasks by their ids.

use std::time::Duration;

use queue::{
    BatchId, Status, TaskId,
    finish::Outcome,
    inspect::{Task, get_many},
    progress,
};
use uuid::Uuid;

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, failed, retry_later},
    sql,
    tasks::{But, json, several, task},
};

specifications![
    every_state_is_told_among_the_others,
    each_id_is_answered_as_often_as_it_is_asked_and_unknown_ones_never,
    tasks_of_many_days_are_found_at_once,
];

async fn many(queue: &mut Harness, ids: &[TaskId]) -> Vec<Task> {
    let mut tasks = Vec::new();
    get_many(&mut queue.volatile, ids, |task| tasks.push(task)).await.unwrap();
    tasks.sort_by_key(|task| task.id);
    tasks
}

async fn every_state_is_told_among_the_others(queue: &mut Harness) {
    let worker = queue.worker().await;
    // One batch, so that states must be told by their bits.
    let mut ids = queue.submit(several(9, &task())).await;
    let claimed = queue.claim(worker, 7).await;
    queue.finish_all(worker, &claimed[..1], done()).await;
    queue.finish_all(worker, &claimed[1..2], failed()).await;
    queue.finish_all(worker, &claimed[2..3], Outcome::Cancelled).await;
    queue.requeue_all(worker, &claimed[3..4], retry_later()).await;
    queue.let_due().await;
    queue.promote().await;
    queue.requeue_all(worker, &claimed[4..5], retry_later()).await;
    progress::report(&mut queue.volatile, &[(claimed[5].id, 1, json("0.5"))]).await.unwrap();
    queue.cancel(claimed[6].id).await;
    ids.extend(queue.submit(several(2, &task().after(Duration::from_secs(60)))).await);
    let tasks = many(queue, &ids).await;
    assert_eq!(tasks.len(), ids.len());
    let states: Vec<_> = tasks.iter().map(|task| (task.status, task.attempt)).collect();
    use Status::{Cancelled, Done, Failed, Processing, Queued, Scheduled};
    assert_eq!(
        states,
        [
            (Done, 1),
            (Failed, 1),
            (Cancelled, 1),
            (Queued, 1),
            (Scheduled, 1),
            (Processing, 1),
            (Processing, 1),
            (Queued, 0),
            (Queued, 0),
            (Scheduled, 0),
            (Scheduled, 0),
        ]
    );
    let errors: Vec<_> = tasks[..6].iter().map(|task| task.error.as_deref()).collect();
    assert_eq!(errors, [None, Some("broken"), None, Some("flaky"), Some("flaky"), None]);
    assert_eq!(tasks[0].result.as_ref().map(|result| result.get()), Some("{\"ok\":true}"));
    assert_eq!(tasks[5].progress.as_ref().map(|progress| progress.get()), Some("0.5"));
    assert_eq!(tasks.iter().position(|task| task.cancel_requested), Some(6));
    assert!(tasks.iter().all(|task| task.run_at.is_some() == (task.status == Scheduled)));
    for task in tasks {
        assert_eq!(format!("{:?}", queue.get(task.id).await), format!("{task:?}"), "alone it is the same");
    }
}

async fn each_id_is_answered_as_often_as_it_is_asked_and_unknown_ones_never(queue: &mut Harness) {
    let ids = queue.submit_plain(2).await;
    let unknown = [Uuid::nil(), Uuid::max(), BatchId::new().task(63).uuid()].map(TaskId::from_uuid);
    let asked = [&[ids[1]], unknown.as_slice(), &[ids[0], ids[1]]].concat();
    let found: Vec<_> = many(queue, &asked).await.iter().map(|task| task.id).collect();
    assert_eq!(found, [ids[0], ids[1], ids[1]]);
    assert!(many(queue, &unknown).await.is_empty());
    assert!(many(queue, &[]).await.is_empty());
}

async fn tasks_of_many_days_are_found_at_once(queue: &mut Harness) {
    queue.submit_plain(2).await;
    // One of a day ahead, which has a partition, and one of a day long past, which has none.
    sql::run(
        &mut queue.durable,
        "INSERT INTO taskrow.records (id, timeout_ms, priority, max_attempts, queue, kind, payload)
         SELECT (lpad(to_hex((extract(epoch FROM now() + day * interval '1 day') * 1000)::bigint), 12, '0') || '7abc8000000000000000')::uuid,
                1000, 0, 3, 'default', 'echo', 'null'
         FROM (VALUES (1), (-1000)) AS days (day)",
    )
    .await;
    sql::run(
        &mut queue.durable,
        "INSERT INTO taskrow.ready (mask, timeout_ms, rank, max_attempts, batch, queue, kind)
         SELECT taskrow.task_bit(id), 1000, 0, 3, taskrow.task_batch(id), 'default', 'echo' FROM taskrow.records r
         WHERE NOT EXISTS (SELECT FROM taskrow.ready q WHERE q.batch = taskrow.task_batch(r.id))",
    )
    .await;
    let all = sql::lines(&mut queue.durable, "SELECT id FROM taskrow.records").await;
    let mut ids: Vec<_> = all.iter().map(|id| TaskId::from_uuid(id.parse().unwrap())).collect();
    assert_eq!(ids.len(), 4);
    ids.sort();
    let found: Vec<_> = many(queue, &ids).await.iter().map(|task| task.id).collect();
    assert_eq!(found, ids);
}
