//! Recording outcomes: one fenced statement for many tasks.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    callbacks::mark_due,
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
    /// one that comes later waits for the lock and then sees the cleared bits. What is left of a lease is reckoned from `own`
    /// too, for the snapshot may show bits that another statement of this worker has cleared meanwhile. Leases are locked in the
    /// order of their ids, as everywhere, so two statements cannot wait for each other.
    ///
    /// Besides what was written, a nil id when there are callbacks to be made of it.
    ///
    /// When the attempt was claimed is kept for the history, but not of a task that was done within a second: nine bytes of WAL a task
    /// (2 %) would tell what `finished_at` tells to the second.
    struct Finish<'a> -> (SqlUuid,) {
        worker: i64 => BigInt,
        leases: &'a [i64] => Array<BigInt>,
        ids: &'a [Uuid] => Array<SqlUuid>,
        statuses: &'a [i16] => Array<SmallInt>,
        results: &'a [Option<&'a str>] => Array<Nullable<Text>>,
        errors: &'a [Option<String>] => Array<Nullable<Text>>,
    }
    concat!("WITH given AS MATERIALIZED (
         SELECT g.*, taskrow.task_bit(g.id) AS bit, taskrow.task_batch(g.id) AS batch
         FROM unnest($2::bigint[], $3::uuid[], $4::smallint[], $5::text[], $6::text[]) AS g(lease, id, status, result, error)),
     own AS MATERIALIZED (
         SELECT l.id, l.batch, l.mask, l.attempt, l.claimed_at, g.bits
         FROM (SELECT lease, batch, bit_or(bit) AS bits FROM given GROUP BY lease, batch ORDER BY lease) AS g
         CROSS JOIN LATERAL (
             SELECT l.id, l.batch, l.mask, l.attempt, l.claimed_at FROM taskrow.leases l
             WHERE l.id = g.lease AND l.worker = $1 AND l.batch = g.batch FOR NO KEY UPDATE) AS l),
     written AS (
         INSERT INTO taskrow.outcomes (task_id, worker, attempt, status, result, error, claimed_at)
         SELECT g.id, $1, own.attempt, g.status, g.result::json, g.error,
                CASE WHEN g.status <> 1 OR own.claimed_at < clock_timestamp() - interval '1 second' THEN own.claimed_at END
         FROM given g JOIN own ON own.id = g.lease AND own.batch = g.batch
         WHERE own.mask & g.bit <> 0
         RETURNING task_id),
     shrunk AS (
         UPDATE taskrow.leases l SET mask = l.mask & ~own.bits, cancelled = l.cancelled & ~own.bits
         FROM own WHERE l.id = own.id AND own.mask & ~own.bits <> 0),
     ended AS (
         DELETE FROM taskrow.leases l USING own WHERE l.id = own.id AND own.mask & ~own.bits = 0),
     ", mark_due!("written"), "
     SELECT task_id FROM written UNION ALL (SELECT '00000000-0000-0000-0000-000000000000'::uuid FROM called LIMIT 1)")
}

statement! {
    /// A statement of its own, for its snapshot: an earlier try may have committed while this one waited for the lease. The status
    /// tells this worker's outcome from one that rescue wrote in its name.
    struct FindOwn<'a> -> (SqlUuid,) {
        worker: i64 => BigInt,
        ids: &'a [Uuid] => Array<SqlUuid>,
        statuses: &'a [i16] => Array<SmallInt>,
    }
    "SELECT g.id FROM unnest($2::uuid[], $3::smallint[]) AS g(id, status)
     JOIN taskrow.outcomes o ON o.task_id = g.id AND o.worker = $1 AND o.status = g.status"
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

/// Records outcomes; answers in the order given. After an error whose effect is unknown, give the same again. Durable when it
/// returns.
pub async fn finish(
    connection: &mut AsyncPgConnection,
    worker: WorkerId,
    finished: &[Finished],
) -> QueryResult<Vec<Fenced>> {
    Ok(finish_and_tell(connection, worker, finished).await?.0)
}

/// As [`finish`]; and whether it leaves callbacks to be made ([`crate::callbacks::make`]).
pub async fn finish_and_tell(
    connection: &mut AsyncPgConnection,
    worker: WorkerId,
    finished: &[Finished],
) -> QueryResult<(Vec<Fenced>, bool)> {
    // After a crash of Postgres a task may be claimed again under the very same lease, and end twice in one call.
    let mut seen = HashSet::with_capacity(finished.len());
    let given: Vec<_> = finished.iter().filter(|task| seen.insert((task.lease, task.id))).collect();
    let statement = Finish {
        worker: worker.0,
        leases: &given.iter().map(|task| task.lease.0).collect::<Vec<_>>(),
        ids: &given.iter().map(|task| task.id.uuid()).collect::<Vec<_>>(),
        statuses: &given.iter().map(|task| status(&task.outcome)).collect::<Vec<_>>(),
        results: &given.iter().map(|task| result(&task.outcome)).collect::<Vec<_>>(),
        errors: &given.iter().map(|task| error(&task.outcome)).collect::<Vec<_>>(),
    };
    let applied = ids(statement.load(connection).await?);
    let rest: Vec<_> = given.into_iter().filter(|task| !applied.contains(&task.id.uuid())).collect();
    let before = if rest.is_empty() {
        HashSet::new()
    } else {
        let statement = FindOwn {
            worker: worker.0,
            ids: &rest.iter().map(|task| task.id.uuid()).collect::<Vec<_>>(),
            statuses: &rest.iter().map(|task| status(&task.outcome)).collect::<Vec<_>>(),
        };
        ids(statement.load(connection).await?)
    };
    let answer = |task: &Finished| match task.id.uuid() {
        id if applied.contains(&id) => Fenced::Applied,
        id if before.contains(&id) => Fenced::AlreadyFinal,
        _ => Fenced::LeaseLost,
    };
    Ok((finished.iter().map(answer).collect(), applied.contains(&Uuid::nil())))
}

fn ids(rows: Vec<(Uuid,)>) -> HashSet<Uuid> {
    rows.into_iter().map(|(id,)| id).collect()
}

fn status(outcome: &Outcome) -> i16 {
    outcome.status().outcome_code().unwrap_or_default()
}

statement! {
    struct ReadJson<'a> -> (Bool,) { text: &'a str => Text }
    "SELECT $1::text::json IS NOT NULL"
}

/// Makes the database read a result and nothing else: when it cannot, it was the value that it refused to store.
pub async fn try_result(connection: &mut AsyncPgConnection, result: &Json) -> QueryResult<()> {
    let _: (bool,) = ReadJson { text: result.get() }.get_result(connection).await?;
    Ok(())
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
