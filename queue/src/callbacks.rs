//! Telling a URL that a task has ended.
//!
//! `taskrow.callbacks` has a row for each task whose submitter wants that, stored with the task. Every statement that writes outcomes
//! marks the rows of what it has written as due ([`mark_due`]). Any worker then makes a task of each ([`make`]), of kind [`KIND`] in the task's
//! own queue, in the statement that deletes the row: so exactly one per outcome, which is delivered as any task is, at least once. Release
//! 0.9.0 marks nothing; [`sweep`] finds what it has left.

use std::time::Duration;

use diesel::{
    QueryResult, Queryable,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    id::BatchId,
    ready::ReadyBatch,
    statement::statement,
    submit::milliseconds,
    task::{DEFAULT_MAX_ATTEMPTS, Lane, Name},
};

/// The kind of the tasks that tell. Their payload: `{"url": .., "event": {"type": "task.done", "timestamp": .., "data": {"id", "kind",
/// "queue", "status", "result", "error", "attempt", "finished_at"}}}`.
pub const KIND: &str = "taskrow.callback";
/// Kinds that start so are Taskrow's own: no client submits them.
pub const RESERVED: &str = "taskrow.";
/// Longest URL, in bytes.
pub const URL_LIMIT: usize = 2048;
/// Longest run of one attempt to tell.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Calls made by one statement. Their payloads, with results, never leave the database.
const PAGE: usize = 64;
/// Rows looked at by one statement of a sweep.
const SWEEP_PAGE: i64 = 1000;

/// The last part of a statement that writes outcomes: marks the callbacks of what the CTE `$written` has written (its `task_id`s). A row is
/// marked by whoever writes the outcome, that is by one; nobody who locks several of them waits for any ([`make`], [`sweep`]).
///
/// While nobody has ever used callbacks the table has no page, and nothing of this runs but the question for its size. (A look for a row
/// would walk over the dead ones while somebody holds an old snapshot.)
macro_rules! mark_due {
    ($written:literal) => {
        concat!(
            "called AS (
                 UPDATE taskrow.callbacks SET due_at = clock_timestamp()
                 WHERE task_id = ANY (ARRAY(SELECT task_id FROM ",
            $written,
            ")) AND (SELECT pg_relation_size('taskrow.callbacks') > 0)
                 RETURNING task_id)"
        )
    };
}
pub(crate) use mark_due;

statement! {
    /// Rows that another worker holds are skipped. One whose outcome was removed by hand after it was marked stays, until there is another.
    /// `$1` has an id for each row of a page, a batch of one. What is inserted comes from the deleted rows.
    struct Make<'a> -> (SqlUuid, Text, SmallInt) {
        batches: &'a [Uuid] => Array<SqlUuid>,
        kind: &'a str => Text,
        max_attempts: i16 => SmallInt,
        timeout_ms: i32 => Integer,
    }
    "WITH due AS MATERIALIZED (
         SELECT c.task_id FROM taskrow.callbacks c
         WHERE c.due_at <= (SELECT clock_timestamp())
           AND EXISTS (SELECT FROM taskrow.outcomes o WHERE o.task_id = c.task_id)
         ORDER BY c.due_at LIMIT cardinality($1) FOR UPDATE OF c SKIP LOCKED),
     gone AS MATERIALIZED (
         DELETE FROM taskrow.callbacks WHERE task_id = ANY (ARRAY(SELECT task_id FROM due)) RETURNING task_id, url),
     told AS MATERIALIZED (
         SELECT ($1::uuid[])[row_number() OVER ()] AS batch, r.queue, r.priority,
                json_build_object('url', gone.url, 'event', json_build_object(
                    'type', 'task.' || s.status,
                    'timestamp', s.finished_at,
                    'data', json_build_object(
                        'id', r.id, 'kind', r.kind, 'queue', r.queue, 'status', s.status, 'result', o.result, 'error', o.error,
                        'attempt', o.attempt, 'finished_at', s.finished_at))) AS payload
         FROM gone
         CROSS JOIN LATERAL (SELECT x.* FROM taskrow.outcomes x WHERE x.task_id = gone.task_id LIMIT 1) AS o
         CROSS JOIN LATERAL (SELECT x.* FROM taskrow.records x WHERE x.id = gone.task_id LIMIT 1) AS r
         CROSS JOIN LATERAL (
             SELECT CASE o.status WHEN 1 THEN 'done' WHEN 2 THEN 'failed' ELSE 'cancelled' END AS status,
                    to_char(o.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS finished_at) AS s),
     stored AS (
         INSERT INTO taskrow.records (id, queue, kind, priority, max_attempts, timeout_ms, payload)
         SELECT batch, queue, $2, priority, $3, $4, payload FROM told)
     INSERT INTO taskrow.ready (batch, mask, queue, kind, rank, max_attempts, timeout_ms)
     SELECT batch, 1, queue, $2, -priority, $3, $4 FROM told
     RETURNING batch, queue, rank"
}

/// What a pass did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The tasks that tell, ready to be claimed.
    pub ready: Vec<ReadyBatch>,
    /// Whether there may be more.
    pub is_more: bool,
}

/// Makes the tasks that tell what has ended, up to a page. May be repeated after any error. Needs a durable connection.
pub async fn make(connection: &mut AsyncPgConnection) -> QueryResult<Made> {
    let batches: Vec<Uuid> = (0..PAGE).map(|_| BatchId::new().uuid()).collect();
    let timeout_ms = milliseconds(TIMEOUT) as i32;
    let statement = Make { batches: &batches, kind: KIND, max_attempts: DEFAULT_MAX_ATTEMPTS, timeout_ms };
    let rows: Vec<(Uuid, String, i16)> = statement.load(connection).await?;
    let is_more = rows.len() == PAGE;
    let ready = rows.into_iter().filter_map(|(batch, queue, rank)| {
        let lane = Lane { queue: Name::new(queue).ok()?, kind: Name::new(KIND).ok()? };
        Some(ReadyBatch { id: BatchId::from_uuid(batch), lane, priority: -rank })
    });
    Ok(Made { ready: ready.collect(), is_more })
}

statement! {
    /// Looks at a page of rows that are not due, from a place on, and marks those that should be. (A row that is locked is being marked.)
    struct Sweep -> (Nullable<SqlUuid>, Bool, BigInt) { after: Uuid => SqlUuid, page: i64 => BigInt }
    "WITH page AS MATERIALIZED (
         SELECT task_id FROM taskrow.callbacks WHERE task_id > $1 AND due_at IS NULL ORDER BY task_id LIMIT $2),
     ended AS MATERIALIZED (
         SELECT c.task_id FROM page CROSS JOIN LATERAL (
             SELECT x.task_id FROM taskrow.callbacks x
             WHERE x.task_id = page.task_id AND x.due_at IS NULL
               AND EXISTS (SELECT FROM taskrow.outcomes o WHERE o.task_id = x.task_id)
             FOR UPDATE OF x SKIP LOCKED) AS c),
     called AS (
         UPDATE taskrow.callbacks SET due_at = clock_timestamp()
         WHERE task_id = ANY (ARRAY(SELECT task_id FROM ended)) RETURNING 1)
     SELECT (SELECT task_id FROM page ORDER BY task_id DESC LIMIT 1), (SELECT count(*) = $2 FROM page), (SELECT count(*) FROM called)"
}

/// Where a sweep stands, and what it did.
#[derive(Queryable)]
struct Swept {
    last: Option<Uuid>,
    is_full: bool,
    marked: i64,
}

/// Goes through the callbacks that are not due, a page at a time and over and over: keep one while the process lives.
#[derive(Debug, Default)]
pub struct Sweeper {
    after: Uuid,
}

impl Sweeper {
    /// Looks at the next page; whether something was found.
    pub async fn sweep(&mut self, connection: &mut AsyncPgConnection) -> QueryResult<bool> {
        let swept: Swept = Sweep { after: self.after, page: SWEEP_PAGE }.get_result(connection).await?;
        self.after = swept.last.filter(|_| swept.is_full).unwrap_or_default();
        Ok(swept.marked > 0)
    }

    /// Whether the next page is the first one.
    pub fn is_at_start(&self) -> bool {
        self.after.is_nil()
    }
}

statement! {
    /// Those of dropped tasks.
    struct Forget -> (BigInt,) {}
    "WITH gone AS (
         DELETE FROM taskrow.callbacks c
         WHERE NOT EXISTS (SELECT FROM taskrow.records r WHERE r.id = c.task_id) RETURNING 1)
     SELECT count(*) FROM gone"
}

/// Removes what belongs to tasks that retention has dropped; how many.
pub(crate) async fn forget(connection: &mut AsyncPgConnection) -> QueryResult<usize> {
    let (gone,): (i64,) = Forget {}.get_result(connection).await?;
    Ok(usize::try_from(gone).unwrap_or(usize::MAX))
}
