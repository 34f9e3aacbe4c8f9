//! Which partition a task's rows are in.

use chrono::Days;
use queue::{BatchId, TaskId, cancel::Cancelled};
use schema::partitions;
use uuid::Uuid;

use super::specifications;
use crate::support::{
    Harness,
    aging::{days_ago, older, partition, unpartition_today},
    sql,
    tasks::task,
};

specifications![
    an_id_at_the_border_of_a_day_is_in_its_day,
    the_tasks_of_a_batch_share_a_day,
    the_default_partition_catches_the_rest,
    a_task_in_the_default_partition_is_a_task_like_any_other,
];

/// The partition that the record of an id is put into.
async fn place_of(queue: &mut Harness, id: Uuid) -> String {
    let insert = format!(
        "INSERT INTO taskrow.records (id, timeout_ms, priority, max_attempts, queue, kind, payload)
         VALUES ('{id}', 1, 0, 1, 'q', 'k', 'null')"
    );
    sql::run(&mut queue.durable, &insert).await;
    let place =
        format!("SELECT c.relname FROM taskrow.records r JOIN pg_class c ON c.oid = r.tableoid WHERE r.id = '{id}'");
    let place = sql::lines(&mut queue.durable, &place).await.remove(0);
    sql::run(&mut queue.durable, &format!("DELETE FROM taskrow.records WHERE id = '{id}'")).await;
    place
}

async fn an_id_at_the_border_of_a_day_is_in_its_day(queue: &mut Harness) {
    let day = days_ago(&mut queue.durable, 3).await;
    let next = day + Days::new(1);
    partition(&mut queue.durable, day).await;
    partition(&mut queue.durable, next).await;
    let (first, end) = partitions::bounds(day);
    assert_eq!(end, partitions::bounds(next).0);
    let last = Uuid::from_u128(end.as_u128() - 1);
    let before = Uuid::from_u128(first.as_u128() - 1);
    for (id, place) in [
        (first, partitions::name("records", day)),
        (last, partitions::name("records", day)),
        (end, partitions::name("records", next)),
        (before, "records_default".to_owned()),
    ] {
        assert_eq!(place_of(queue, id).await, place, "{id}");
    }
}

async fn the_tasks_of_a_batch_share_a_day(queue: &mut Harness) {
    let day = days_ago(&mut queue.durable, 3).await;
    let (_, end) = partitions::bounds(day);
    for edge in [Uuid::from_u128(end.as_u128() - 1), end] {
        let batch = BatchId::from_uuid(edge);
        let of_day = |id: TaskId| id.uuid() < end;
        assert_eq!(of_day(batch.task(0)), of_day(batch.task(63)));
    }
}

async fn the_default_partition_catches_the_rest(queue: &mut Harness) {
    for id in [Uuid::nil(), older(BatchId::new().task(0), 4000).uuid(), Uuid::max()] {
        assert_eq!(place_of(queue, id).await, "records_default");
    }
}

async fn a_task_in_the_default_partition_is_a_task_like_any_other(queue: &mut Harness) {
    unpartition_today(&mut queue.durable).await;
    let all = queue.submit(vec![task(); 3]).await;
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records_default").await, 3);
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 2).await;
    queue.finish_all(worker, &claimed[..1], crate::support::harness::failed()).await;
    assert_eq!(queue.cancel(all[2]).await, Cancelled::Now);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.outcomes_default").await, 2);
    for id in [all[0], all[2]] {
        assert!(matches!(queue.retry(id).await, queue::retry::Retried::Queued(_)));
    }
}
