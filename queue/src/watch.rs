//! Looking at tasks again and again: how they stand, without what they carry. For those who wait for a change.

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    sql_types::{Array, Bool, Nullable, SmallInt, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{id::TaskId, statement::statement, task::Status};

// As `inspect::GetMany`, and of the same plan: one id after the other by index, in its own day only. `$1` ids, `$2` whether more is
// asked of each than its outcome, `$3` the least id, `$4` the greatest.
//
// Of a task whose outcome alone is asked for, one index is looked into; while there is none, no row comes back. (`open` has no row for
// it, so what follows is not executed.)
statement! {
    struct LookAt<'a> -> (SqlUuid, SmallInt, SmallInt, Bool, Nullable<Timestamptz>) {
        ids: &'a [Uuid] => Array<SqlUuid>,
        whole: &'a [bool] => Array<Bool>,
        first: Uuid => SqlUuid,
        last: Uuid => SqlUuid,
    }
    "SELECT wanted.id, coalesce(o.status, h.state), coalesce(o.attempt, h.attempt), coalesce(h.cancel_requested, false), h.progress_at
     FROM unnest($1, $2) AS wanted (id, is_whole)
     LEFT JOIN LATERAL (
         SELECT x.status, x.attempt FROM taskrow.outcomes x
         WHERE x.task_id = wanted.id AND x.task_id BETWEEN $3 AND $4 LIMIT 1) o ON true
     LEFT JOIN LATERAL (
         SELECT CASE WHEN l.id IS NOT NULL THEN -1 WHEN s.seq IS NOT NULL THEN -2 ELSE -3 END::smallint AS state,
                coalesce(l.attempt, q.attempt, s.attempt) AS attempt,
                l.cancelled & open.bit <> 0 AS cancel_requested, p.updated_at AS progress_at
         FROM (
             SELECT taskrow.task_batch(wanted.id) AS batch, taskrow.task_bit(wanted.id) AS bit
             WHERE o.status IS NULL AND wanted.is_whole OFFSET 0) AS open
         LEFT JOIN LATERAL (
             SELECT x.* FROM taskrow.leases x WHERE x.batch = open.batch AND x.mask & open.bit <> 0 LIMIT 1) l ON true
         LEFT JOIN LATERAL (
             SELECT x.* FROM taskrow.ready x WHERE x.batch = open.batch AND x.mask & open.bit <> 0 LIMIT 1) q ON true
         LEFT JOIN LATERAL (
             SELECT x.* FROM taskrow.scheduled x WHERE x.batch = open.batch AND x.mask & open.bit <> 0 LIMIT 1) s ON true
         LEFT JOIN LATERAL (
             SELECT x.updated_at FROM taskrow.progress x WHERE x.task_id = wanted.id AND x.attempt = l.attempt LIMIT 1) p ON true
         LIMIT 1) h ON true
     WHERE coalesce(o.attempt, h.attempt) IS NOT NULL"
}

/// Id, state, attempt, whether its cancellation was asked for, when its handler last reported.
type Row = (Uuid, i16, i16, bool, Option<DateTime<Utc>>);

/// What is asked about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it has ended. The cheaper one: one index is looked into.
    Outcome,
    /// How it stands.
    State,
}

/// How a task stands, in so few words that any change of it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Where it stands.
    pub status: Status,
    /// Claims burnt so far.
    pub attempt: i16,
    /// Whether its cancellation was asked for while it runs.
    pub cancel_requested: bool,
    /// When its handler last reported, while it runs.
    pub progress_at: Option<DateTime<Utc>>,
}

/// Looks at tasks, all as they stood at one moment. No answer about a task: it does not exist, or only its outcome was asked for and it
/// has none. Each id should come once.
pub async fn look_at(
    connection: &mut AsyncPgConnection,
    questions: &[(TaskId, Question)],
) -> QueryResult<Vec<(TaskId, Look)>> {
    let ids: Vec<Uuid> = questions.iter().map(|(id, _)| id.uuid()).collect();
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(Vec::new()) };
    let whole: Vec<bool> = questions.iter().map(|(_, question)| *question == Question::State).collect();
    let statement = LookAt { ids: &ids, whole: &whole, first: *first, last: *last };
    let rows: Vec<Row> = statement.load(connection).await?;
    let look = |(id, state, attempt, cancel_requested, progress_at): Row| {
        (TaskId::from_uuid(id), Look { status: status(state), attempt, cancel_requested, progress_at })
    };
    Ok(rows.into_iter().map(look).collect())
}

/// What the statement calls a state: an outcome's code, or a number below zero.
fn status(state: i16) -> Status {
    match state {
        -1 => Status::Processing,
        -2 => Status::Scheduled,
        -3 => Status::Queued,
        code => Status::of_outcome(code),
    }
}
