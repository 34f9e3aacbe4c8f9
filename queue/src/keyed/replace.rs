//! Giving a task that waits another payload and another start.
//!
//! A claim reads payloads by its own snapshot, which may be older than a replacement that was acknowledged. It must never run the old
//! payload then. So each of these statements writes the row of `ready` or `scheduled` in which the task stands, even where nothing of it
//! changes: a claim with an older snapshot finds that row's newest version by its lock, and cannot delete what it does not see; a claim that
//! has the row already is waited for, and then the task is no longer there. (`FOR UPDATE` would not do: it leaves no newer version.)

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    id::TaskId,
    ready::ReadyBatch,
    statement::statement,
    submit::{delay_ms, start_at},
    task::{Lane, NewTask},
};

/// `$1` task, `$2` batch, `$3` bit, `$4` payload, `$5` delay, `$6` start. Whether it is due is decided as in [`crate::submit`]. What is written comes from
/// the rows that were really changed, as in [`crate::cancel`]; no row: the task does not stand here (any more).
macro_rules! replace_sql {
    ($taken:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (
                 SELECT coalesce($6, clock.now + $5 * interval '1 millisecond', clock.now) AS run_at,
                        coalesce($6 > clock.now, $5 > 0, false) AS is_later
                 FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock),
             ",
            $taken,
            ",
             later AS (
                 INSERT INTO taskrow.scheduled (run_at, queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask)
                 SELECT due.run_at, t.queue, t.kind, t.rank, t.attempt, t.crashes, t.max_attempts, t.timeout_ms, t.batch, $3
                 FROM taken t CROSS JOIN due WHERE due.is_later),
             written AS (
                 UPDATE taskrow.records SET payload = $4::json WHERE id = $1 AND EXISTS (SELECT FROM taken))
             SELECT t.rank, due.is_later FROM taken t CROSS JOIN due"
        )
    };
}

statement! {
    /// Due at once, it keeps its place: a task that is replaced again and again must still run.
    struct ReplaceReady<'a> -> (SmallInt, Bool) {
        id: Uuid => SqlUuid,
        batch: Uuid => SqlUuid,
        bit: i64 => BigInt,
        payload: &'a str => Text,
        delay_ms: Option<i64> => Nullable<BigInt>,
        start: Option<DateTime<Utc>> => Nullable<Timestamptz>,
    }
    replace_sql!(
        "stayed AS (
             UPDATE taskrow.ready SET mask = mask WHERE batch = $2 AND mask & $3 <> 0 AND NOT (SELECT is_later FROM due) RETURNING *),
         shrunk AS (
             UPDATE taskrow.ready SET mask = mask & ~$3
             WHERE batch = $2 AND mask & $3 <> 0 AND mask <> $3 AND (SELECT is_later FROM due) RETURNING *),
         gone AS (
             DELETE FROM taskrow.ready WHERE batch = $2 AND mask = $3 AND (SELECT is_later FROM due) RETURNING *),
         taken AS MATERIALIZED (SELECT * FROM stayed UNION ALL SELECT * FROM shrunk UNION ALL SELECT * FROM gone)"
    )
}

statement! {
    struct ReplaceScheduled<'a> -> (SmallInt, Bool) {
        id: Uuid => SqlUuid,
        batch: Uuid => SqlUuid,
        bit: i64 => BigInt,
        payload: &'a str => Text,
        delay_ms: Option<i64> => Nullable<BigInt>,
        start: Option<DateTime<Utc>> => Nullable<Timestamptz>,
    }
    replace_sql!(
        "shrunk AS (
             UPDATE taskrow.scheduled SET mask = mask & ~$3 WHERE batch = $2 AND mask & $3 <> 0 AND mask <> $3 RETURNING *),
         gone AS (
             DELETE FROM taskrow.scheduled WHERE batch = $2 AND mask = $3 RETURNING *),
         taken AS MATERIALIZED (SELECT * FROM shrunk UNION ALL SELECT * FROM gone),
         back AS (
             INSERT INTO taskrow.ready (queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask)
             SELECT t.queue, t.kind, t.rank, t.attempt, t.crashes, t.max_attempts, t.timeout_ms, t.batch, $3
             FROM taken t CROSS JOIN due WHERE NOT due.is_later)"
    )
}

/// Where a replaced task waits now.
pub(super) enum Waits {
    /// It can be claimed; a claim that passed by its batch meanwhile has to be told.
    Ready(ReadyBatch),
    /// It has a time.
    Scheduled,
}

/// Gives `task`, of this lane, the payload and the start of `new`, if it waits. None: it does not, or it moved at this moment.
pub(super) async fn replace(
    connection: &mut AsyncPgConnection,
    task: TaskId,
    lane: &Lane,
    new: &NewTask,
) -> QueryResult<Option<Waits>> {
    let (id, batch, bit) = (task.uuid(), task.batch().uuid(), task.bit().to_sql());
    let (payload, delay_ms, start) = (new.payload.get(), delay_ms(&new.options), start_at(&new.options));
    let ready = ReplaceReady { id, batch, bit, payload, delay_ms, start };
    let mut replaced: Option<(i16, bool)> = ready.get_result(connection).await.optional()?;
    if replaced.is_none() {
        let scheduled = ReplaceScheduled { id, batch, bit, payload, delay_ms, start };
        replaced = scheduled.get_result(connection).await.optional()?;
    }
    Ok(replaced.map(|(rank, is_later)| {
        let ready = ReadyBatch { id: task.batch(), lane: lane.clone(), priority: -rank };
        if is_later { Waits::Scheduled } else { Waits::Ready(ready) }
    }))
}
