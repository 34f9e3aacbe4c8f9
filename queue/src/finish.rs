//! Recording outcomes: one fenced statement for many tasks.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    claim::LeaseId,
    id::TaskId,
    json::Json,
    statement::statement,
    task::{Status, bounded_error},
    workers::WorkerId,
};

statement! {
    /// The fence is `own`: a lease of this id *and* this worker *and* the task's batch, locked, and the task's bit still open in it.
    /// (The id alone would not do: see `taskrow.lease_ids`.) A rescue that deleted the lease first leaves nothing to join;
    /// one that comes later waits for the lock and then sees the cleared bits. Leases are locked in the order of their
    /// ids, as everywhere, so two statements cannot wait for each other.
    struct Finish<'a> -> (SqlUuid, Bool) {
        worker: i64 => BigInt,
        leases: &'a [i64] => Array<BigInt>,
        ids: &'a [Uuid] => Array<SqlUuid>,
        statuses: &'a [i16] => Array<SmallInt>,
        results: &'a [Option<&'a str>] => Array<Nullable<Text>>,
        errors: &'a [Option<String>] => Array<Nullable<Text>>,
    }
    "WITH given AS MATERIALIZED (
         SELECT g.*, taskrow.task_bit(g.id) AS bit, taskrow.task_batch(g.id) AS batch
         FROM unnest($2::bigint[], $3::uuid[], $4::smallint[], $5::text[], $6::text[]) AS g(lease, id, status, result, error)),
     own AS MATERIALIZED (
         SELECT l.id, l.mask, l.attempt, g.bits
         FROM (SELECT lease, batch, bit_or(bit) AS bits FROM given GROUP BY lease, batch ORDER BY lease) AS g
         CROSS JOIN LATERAL (
             SELECT l.id, l.mask, l.attempt FROM taskrow.leases l
             WHERE l.id = g.lease AND l.worker = $1 AND l.batch = g.batch FOR NO KEY UPDATE) AS l),
     written AS (
         INSERT INTO taskrow.outcomes (task_id, worker, attempt, status, result, error)
         SELECT g.id, $1, own.attempt, g.status, g.result::json, g.error
         FROM given g JOIN own ON own.id = g.lease
         WHERE own.mask & g.bit <> 0
         RETURNING task_id),
     shrunk AS (
         UPDATE taskrow.leases l SET mask = l.mask & ~own.bits, cancelled = l.cancelled & ~own.bits
         FROM own WHERE l.id = own.id AND l.mask & ~own.bits <> 0),
     ended AS (
         DELETE FROM taskrow.leases l USING own WHERE l.id = own.id AND l.mask & ~own.bits = 0)
     SELECT task_id, true FROM written
     UNION ALL
     SELECT g.id, false FROM given g
     JOIN taskrow.outcomes o ON o.task_id = g.id AND o.worker = $1
     WHERE NOT EXISTS (SELECT FROM own WHERE own.id = g.lease AND own.mask & g.bit <> 0)"
}

/// How a task ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With a result.
    Done(Json),
    /// Without, for this reason.
    Failed(String),
    /// By request.
    Cancelled,
}

impl Outcome {
    /// The final state.
    pub fn status(&self) -> Status {
        match self {
            Self::Done(_) => Status::Done,
            Self::Failed(_) => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }
}

/// An outcome to record.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The lease under which the task ran.
    pub lease: LeaseId,
    /// The task.
    pub id: TaskId,
    /// How it ended.
    pub outcome: Outcome,
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fenced {
    /// Written now.
    Applied,
    /// This worker had written this task's outcome before: an earlier try had committed after all.
    AlreadyFinal,
    /// The lease was gone; nothing was written. Somebody else runs the task, or has run it.
    LeaseLost,
}

/// Records outcomes; answers in the order given. After an error whose effect is unknown, give the same again. Durable when it returns.
pub async fn finish(
    connection: &mut AsyncPgConnection,
    worker: WorkerId,
    finished: &[Finished],
) -> QueryResult<Vec<Fenced>> {
    let statement = Finish {
        worker: worker.0,
        leases: &finished.iter().map(|task| task.lease.0).collect::<Vec<_>>(),
        ids: &finished.iter().map(|task| task.id.uuid()).collect::<Vec<_>>(),
        statuses: &finished
            .iter()
            .map(|task| task.outcome.status().outcome_code().unwrap_or_default())
            .collect::<Vec<_>>(),
        results: &finished.iter().map(|task| result(&task.outcome)).collect::<Vec<_>>(),
        errors: &finished.iter().map(|task| error(&task.outcome)).collect::<Vec<_>>(),
    };
    let rows: Vec<(Uuid, bool)> = statement.load(connection).await?;
    let (applied, before): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, now)| *now);
    let applied: HashSet<Uuid> = applied.into_iter().map(|(id, _)| id).collect();
    let before: HashSet<Uuid> = before.into_iter().map(|(id, _)| id).collect();
    let answer = |task: &Finished| match task.id.uuid() {
        id if applied.contains(&id) => Fenced::Applied,
        id if before.contains(&id) => Fenced::AlreadyFinal,
        _ => Fenced::LeaseLost,
    };
    Ok(finished.iter().map(answer).collect())
}

fn result(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Done(result) => Some(result.get()),
        _ => None,
    }
}

fn error(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Failed(reason) => Some(bounded_error(reason)),
        _ => None,
    }
}
