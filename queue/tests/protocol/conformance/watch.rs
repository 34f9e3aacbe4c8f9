//! Looking at tasks for those who wait.

use std::{collections::HashMap, time::Duration};

use queue::{
    BatchId, Status, TaskId,
    finish::Outcome,
    inspect::Task,
    progress,
    watch::{Look, Question, look_at},
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, failed, retry_later},
    sql,
    tasks::{But, json, several, task},
};

specifications![
    the_state_is_the_one_that_is_read,
    of_a_task_without_outcome_nothing_comes_back_when_only_that_is_asked,
    unknown_tasks_are_not_answered,
    tasks_of_many_days_are_found_at_once,
];

async fn look(queue: &mut Harness, ids: &[TaskId], question: Question) -> HashMap<TaskId, Look> {
    let questions: Vec<_> = ids.iter().map(|id| (*id, question)).collect();
    look_at(&mut queue.volatile, &questions).await.unwrap().into_iter().collect()
}

/// A task in every state there is, several of them in one batch.
async fn every_state(queue: &mut Harness) -> Vec<TaskId> {
    let worker = queue.worker().await;
    let mut ids = queue.submit(several(9, &task())).await;
    let claimed = queue.claim(worker, 8).await;
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
    ids
}

async fn the_state_is_the_one_that_is_read(queue: &mut Harness) {
    let ids = every_state(queue).await;
    let looks = look(queue, &ids, Question::State).await;
    assert_eq!(looks.len(), ids.len());
    let mut reported = 0;
    for id in &ids {
        let read: Task = queue.get(*id).await;
        let look = looks[id];
        assert_eq!(
            (look.status, look.attempt, look.cancel_requested, look.progress_at.is_some()),
            (read.status, read.attempt, read.cancel_requested, read.progress.is_some()),
            "{read:?}"
        );
        reported += usize::from(look.progress_at.is_some());
    }
    assert_eq!(reported, 1);
    for status in Status::ALL {
        assert!(looks.values().any(|look| look.status == status), "{status:?}");
    }
}

async fn of_a_task_without_outcome_nothing_comes_back_when_only_that_is_asked(queue: &mut Harness) {
    let ids = every_state(queue).await;
    let looks = look(queue, &ids, Question::Outcome).await;
    assert_eq!(looks.len(), 3);
    assert!(looks.values().all(|look| look.status.is_final()));
    // Either question may stand beside the other.
    let questions: Vec<_> = ids.iter().map(|id| (*id, Question::Outcome)).collect();
    let mut mixed = questions.clone();
    mixed[8].1 = Question::State;
    assert_eq!(look_at(&mut queue.volatile, &mixed).await.unwrap().len(), 4);
}

async fn unknown_tasks_are_not_answered(queue: &mut Harness) {
    let known = queue.submit_plain(1).await[0];
    let ids = [BatchId::new().task(0), known, known.batch().task(1)];
    assert_eq!(look(queue, &ids, Question::State).await.into_keys().collect::<Vec<_>>(), [known]);
    assert_eq!(look(queue, &[], Question::State).await, HashMap::new());
}

async fn tasks_of_many_days_are_found_at_once(queue: &mut Harness) {
    // One of a day ahead, which has a partition, and one of a day long past, which has none.
    let statement = "WITH ids AS MATERIALIZED (
             SELECT (lpad(to_hex((extract(epoch FROM now() + day * interval '1 day') * 1000)::bigint), 12, '0') || '7abc8000000000000000')::uuid AS id
             FROM (VALUES (1), (-1000)) AS days (day)),
         ended AS (INSERT INTO taskrow.outcomes (task_id, attempt, status) SELECT id, 0, 3 FROM ids)
         INSERT INTO taskrow.records (id, timeout_ms, priority, max_attempts, queue, kind, payload)
         SELECT id, 1000, 0, 3, 'default', 'echo', 'null' FROM ids";
    sql::run(&mut queue.durable, statement).await;
    let mut ids = queue.submit_plain(1).await;
    let ended = sql::lines(&mut queue.durable, "SELECT task_id FROM taskrow.outcomes").await;
    ids.extend(ended.iter().map(|id| TaskId::from_uuid(id.parse().unwrap())));
    assert_eq!(look(queue, &ids, Question::Outcome).await.len(), 2);
    assert_eq!(look(queue, &ids, Question::State).await.len(), 3);
}
