//! Dropping old tasks.

use std::time::Duration;

use queue::{Status, TaskId, progress, retention, retention::Cleaned, retry::Retried};
use schema::partitions;

use super::specifications;
use crate::support::{
    Harness,
    aging::{age, days_ago, older, partition, unpartition_today},
    harness::{done, failed, retry_later},
    sql,
    tasks::{json, task},
};

specifications![
    a_day_that_is_final_and_old_is_dropped,
    a_day_that_is_not_old_enough_stays,
    a_day_with_an_open_task_stays,
    a_day_whose_task_ended_lately_stays,
    a_retried_task_keeps_its_day,
    cleaning_makes_partitions_ahead,
    the_default_partition_loses_what_is_final_and_old,
    a_day_that_began_in_the_default_partition_stays_there,
    old_reports_are_deleted,
    cleaning_an_empty_queue_does_nothing,
];

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn clean_up(queue: &mut Harness, retention_days: u32) -> Cleaned {
    retention::clean_up(&mut queue.durable, DAY * retention_days, 0).await.unwrap()
}

/// A task that ended as failed.
async fn end_one(queue: &mut Harness) -> TaskId {
    queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.finish_all(worker, &claimed, failed()).await;
    claimed[0].id
}

/// Makes the partitions of a past day and everything so old.
async fn let_pass(queue: &mut Harness, days: u32) {
    let day = days_ago(&mut queue.durable, days).await;
    partition(&mut queue.durable, day).await;
    age(&mut queue.durable, days).await;
}

async fn a_day_that_is_final_and_old_is_dropped(queue: &mut Harness) {
    let id = end_one(queue).await;
    let_pass(queue, 10).await;
    let day = days_ago(&mut queue.durable, 10).await;
    let young = end_one(queue).await;
    assert_eq!(queue.status(older(id, 10)).await, Status::Failed);
    let cleaned = clean_up(queue, 5).await;
    assert_eq!(cleaned.days_dropped, [day]);
    assert!(queue.find(older(id, 10)).await.is_none());
    assert_eq!(queue.retry(older(id, 10)).await, Retried::NotFound);
    assert_eq!(queue.status(young).await, Status::Failed);
    assert_eq!(clean_up(queue, 5).await, Cleaned::default());
}

async fn a_day_that_is_not_old_enough_stays(queue: &mut Harness) {
    let id = end_one(queue).await;
    let_pass(queue, 4).await;
    assert_eq!(clean_up(queue, 5).await.days_dropped, []);
    assert_eq!(queue.status(older(id, 4)).await, Status::Failed);
}

async fn a_day_with_an_open_task_stays(queue: &mut Harness) {
    let day = days_ago(&mut queue.durable, 10).await;
    partition(&mut queue.durable, day).await;
    let worker = queue.worker().await;
    for status in [Status::Queued, Status::Processing, Status::Scheduled] {
        end_one(queue).await;
        let open = queue.submit_one(task()).await;
        let claimed = if status == Status::Queued { vec![] } else { queue.claim(worker, 1).await };
        if status == Status::Scheduled {
            queue.requeue_all(worker, &claimed, retry_later()).await;
        }
        age(&mut queue.durable, 10).await;
        let open = older(open, 10);
        let cleaned = clean_up(queue, 5).await;
        assert_eq!((cleaned.days_dropped, cleaned.days_kept), (vec![], vec![day]), "{status:?}");
        assert_eq!(queue.status(open).await, status);
        sql::run(
            &mut queue.durable,
            "TRUNCATE taskrow.records, taskrow.outcomes, taskrow.ready, taskrow.leases, taskrow.scheduled",
        )
        .await;
    }
    assert_eq!(clean_up(queue, 5).await.days_dropped, [day]);
}

async fn a_day_whose_task_ended_lately_stays(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let_pass(queue, 10).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    assert_eq!(claimed[0].id, older(id, 10));
    queue.finish_all(worker, &claimed, done()).await;
    let cleaned = clean_up(queue, 5).await;
    assert_eq!((cleaned.days_dropped.len(), cleaned.days_kept.len()), (0, 1));
    assert_eq!(queue.status(older(id, 10)).await, Status::Done);
}

async fn a_retried_task_keeps_its_day(queue: &mut Harness) {
    let id = end_one(queue).await;
    let_pass(queue, 10).await;
    assert!(matches!(queue.retry(older(id, 10)).await, Retried::Queued(_)));
    assert_eq!(clean_up(queue, 5).await.days_kept.len(), 1);
    assert_eq!(queue.status(older(id, 10)).await, Status::Queued);
}

async fn cleaning_makes_partitions_ahead(queue: &mut Harness) {
    let ahead = 20;
    let before = partitions::days(&mut queue.durable).await.unwrap().len();
    let cleaned = retention::clean_up(&mut queue.durable, DAY, ahead).await.unwrap();
    let days = partitions::days(&mut queue.durable).await.unwrap();
    assert_eq!(days.len(), ahead as usize + 1);
    assert_eq!(cleaned.partitions_made, (days.len() - before) * 3);
    assert_eq!(days[0], days_ago(&mut queue.durable, 0).await);
    assert!(days.windows(2).all(|pair| pair[0].succ_opt() == Some(pair[1])));
    assert_eq!(retention::clean_up(&mut queue.durable, DAY, ahead).await.unwrap().partitions_made, 0);
}

async fn the_default_partition_loses_what_is_final_and_old(queue: &mut Harness) {
    let id = end_one(queue).await;
    let open = queue.submit_one(task()).await;
    age(&mut queue.durable, 10).await;
    let young = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    queue.claim(worker, 2).await;
    let cleaned = clean_up(queue, 5).await;
    assert_eq!((cleaned.default_deleted, cleaned.days_dropped.len()), (1, 0));
    assert!(queue.find(older(id, 10)).await.is_none());
    assert_eq!(queue.status(older(open, 10)).await, Status::Processing);
    assert_eq!(queue.status(young).await, Status::Processing);
}

/// Nobody made partitions for a week, and tasks came before somebody did. Of such a day all tables stay in the default
/// partition: a day that has one table here and one there could be cleaned neither as a day nor task by task.
async fn a_day_that_began_in_the_default_partition_stays_there(queue: &mut Harness) {
    unpartition_today(&mut queue.durable).await;
    let id = queue.submit_one(task()).await;
    assert_eq!(clean_up(queue, 5).await.partitions_made, 0);
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(clean_up(queue, 5).await, Cleaned::default());
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.outcomes_default").await, 1);
    age(&mut queue.durable, 10).await;
    assert_eq!(clean_up(queue, 5).await.default_deleted, 1);
    assert!(queue.find(older(id, 10)).await.is_none());
}

async fn old_reports_are_deleted(queue: &mut Harness) {
    let id = end_one(queue).await;
    progress::report(&mut queue.volatile, &[(id, 1, json("1"))]).await.unwrap();
    assert_eq!(clean_up(queue, 5).await.progress_deleted, 0);
    let_pass(queue, 10).await;
    assert_eq!(clean_up(queue, 5).await.progress_deleted, 1);
}

async fn cleaning_an_empty_queue_does_nothing(queue: &mut Harness) {
    clean_up(queue, 5).await;
    assert_eq!(clean_up(queue, 5).await, Cleaned::default());
}
