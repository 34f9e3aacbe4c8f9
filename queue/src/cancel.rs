//! Cancelling a task, wherever it stands.

use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{BigInt, Bool, SmallInt, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{callbacks::mark_due, id::TaskId, statement::statement, task::Status, workers::WorkerId};

/// How often to look again at a task that moved between two looks. Each move is a commit of another process, so a
/// handful in a row means that something is off.
const TRIES: usize = 8;

/// The part that `ready` and `scheduled` share. The outcome is written from the rows that were really changed, in their newest
/// version; a row that changes under us so that neither condition holds is found by the next try.
macro_rules! cancel_waiting {
    ($table:literal) => {
        concat!(
            "WITH shrunk AS (UPDATE taskrow.",
            $table,
            " SET mask = mask & ~$3
                 WHERE batch = $2 AND mask & $3 <> 0 AND mask <> $3 RETURNING attempt),
             gone AS (DELETE FROM taskrow.",
            $table,
            " WHERE batch = $2 AND mask = $3 RETURNING attempt),
             written AS (
                 INSERT INTO taskrow.outcomes (task_id, attempt, status)
                 SELECT $1, attempt, 3 FROM (SELECT * FROM shrunk UNION ALL SELECT * FROM gone) AS hit
                 RETURNING task_id, attempt),
             ",
            mark_due!("written"),
            "
             SELECT attempt FROM written"
        )
    };
}

statement! {
    struct CancelReady -> (SmallInt,) { id: Uuid => SqlUuid, batch: Uuid => SqlUuid, bit: i64 => BigInt }
    cancel_waiting!("ready")
}

statement! {
    struct CancelScheduled -> (SmallInt,) { id: Uuid => SqlUuid, batch: Uuid => SqlUuid, bit: i64 => BigInt }
    cancel_waiting!("scheduled")
}

statement! {
    struct CancelLeased -> (BigInt,) { batch: Uuid => SqlUuid, bit: i64 => BigInt }
    "UPDATE taskrow.leases SET cancelled = cancelled | $2 WHERE batch = $1 AND mask & $2 <> 0 RETURNING worker"
}

statement! {
    struct FindOutcome -> (Bool, SmallInt) { id: Uuid => SqlUuid }
    "SELECT true, coalesce((SELECT status FROM taskrow.outcomes WHERE task_id = $1), 0::smallint)
     FROM taskrow.records WHERE id = $1"
}

/// What a cancellation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It was waiting and has ended as cancelled. It will not start.
    Now,
    /// It runs. Its worker is to be told ([`crate::wakeup`], or its next heartbeat); it may still finish first.
    Asked(WorkerId),
    /// It had ended before.
    AlreadyFinal(Status),
    /// No such task.
    NotFound,
    /// It kept moving. Try again.
    Busy,
}

/// Cancels a task.
pub async fn cancel(connection: &mut AsyncPgConnection, id: TaskId) -> QueryResult<Cancelled> {
    let (task, batch, bit) = (id.uuid(), id.batch().uuid(), id.bit().to_sql());
    for _ in 0..TRIES {
        let ready: Option<(i16,)> = CancelReady { id: task, batch, bit }.get_result(connection).await.optional()?;
        if ready.is_some() {
            return Ok(Cancelled::Now);
        }
        let scheduled: Option<(i16,)> =
            CancelScheduled { id: task, batch, bit }.get_result(connection).await.optional()?;
        if scheduled.is_some() {
            return Ok(Cancelled::Now);
        }
        let leased: Option<(i64,)> = CancelLeased { batch, bit }.get_result(connection).await.optional()?;
        if let Some((worker,)) = leased {
            return Ok(Cancelled::Asked(WorkerId(worker)));
        }
        match (FindOutcome { id: task }).get_result::<(bool, i16)>(connection).await.optional()? {
            None => return Ok(Cancelled::NotFound),
            Some((_, 0)) => {} // It moved from one table to another between two of our statements.
            Some((_, code)) => return Ok(Cancelled::AlreadyFinal(Status::of_outcome(code))),
        }
    }
    Ok(Cancelled::Busy)
}
