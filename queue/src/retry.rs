//! Queueing a failed or cancelled task again, by hand.

use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    id::TaskId,
    keyed::{self, unique},
    statement::statement,
    task::Status,
};

statement! {
    /// The only removal of an outcome outside retention. Two at once: the second finds nothing to remove. The attempt behind it stays in
    /// the history; one that a death ended is there already. A callback that was not made yet waits for the next outcome.
    struct Retry -> (Text,) { id: Uuid => SqlUuid }
    "WITH gone AS (DELETE FROM taskrow.outcomes WHERE task_id = $1 AND status IN (2, 3) RETURNING *),
     kept AS (
         INSERT INTO taskrow.failures (task_id, failed_at, worker, attempt, error, claimed_at)
         SELECT task_id, finished_at, worker, attempt, coalesce(error, 'cancelled'), claimed_at FROM gone
         WHERE worker IS NOT NULL AND attempt > 0
           AND NOT EXISTS (
               SELECT FROM taskrow.failures f
               WHERE f.task_id = $1 AND f.worker = gone.worker AND f.attempt = gone.attempt AND f.crashes IS NOT NULL)
         ON CONFLICT DO NOTHING),
     back AS (
         INSERT INTO taskrow.ready (queue, kind, rank, max_attempts, timeout_ms, batch, mask)
         SELECT r.queue, r.kind, -r.priority, r.max_attempts, r.timeout_ms, taskrow.task_batch(r.id), taskrow.task_bit(r.id)
         FROM gone JOIN taskrow.records r ON r.id = gone.task_id
         RETURNING queue),
     uncalled AS (UPDATE taskrow.callbacks SET due_at = NULL WHERE task_id = $1 AND EXISTS (SELECT FROM gone))
     SELECT queue FROM back"
}

statement! {
    struct FindOutcome -> (SmallInt,) { id: Uuid => SqlUuid }
    "SELECT coalesce((SELECT status FROM taskrow.outcomes WHERE task_id = $1), 0::smallint)
     FROM taskrow.records WHERE id = $1"
}

/// What a retry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It waits again, in this queue, with all its attempts.
    Queued(String),
    /// It is done, and stays so.
    Done,
    /// It has not ended.
    Open,
    /// Its unique key is held by this open task.
    KeyHeld(TaskId),
    /// No such task.
    NotFound,
}

/// Queues a failed or cancelled task again. One that was submitted with a unique key needs it back first.
pub async fn retry(connection: &mut AsyncPgConnection, id: TaskId) -> QueryResult<Retried> {
    let Some((lane, key)) = unique::key_of(connection, id).await? else { return retry_now(connection, id).await };
    let wanted = unique::Wanted { lane: &lane, key: &key, task: id };
    let retried = connection.transaction(async |connection| match keyed::take_back(connection, wanted).await? {
        Some(holder) => Ok(Retried::KeyHeld(holder)),
        None => retry_now(connection, id).await,
    });
    retried.await
}

async fn retry_now(connection: &mut AsyncPgConnection, id: TaskId) -> QueryResult<Retried> {
    let queued: Option<(String,)> = Retry { id: id.uuid() }.get_result(connection).await.optional()?;
    if let Some((queue,)) = queued {
        return Ok(Retried::Queued(queue));
    }
    let outcome: Option<(i16,)> = FindOutcome { id: id.uuid() }.get_result(connection).await.optional()?;
    Ok(match outcome {
        None => Retried::NotFound,
        Some((code,)) if code != 0 && Status::of_outcome(code) == Status::Done => Retried::Done,
        Some(_) => Retried::Open,
    })
}
