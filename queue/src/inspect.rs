//! Reading tasks: by id, or a page of them.

use std::{cmp::Reverse, pin::pin};

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult, Queryable,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::TryStreamExt;
use uuid::Uuid;

use crate::{
    id::TaskId,
    json::Json,
    statement::statement,
    task::{Name, Status},
};

/// Rows a page looks at, at most. With a filter that few tasks match a page may be short, or empty, and still have a next one.
const SCAN_LIMIT: i64 = 2000;
/// Most tasks on a page.
pub const PAGE_LIMIT: usize = 500;

type TaskRow = (
    SqlUuid,
    Text,
    Text,
    SmallInt,
    SmallInt,
    Integer,
    Timestamptz,
    Text,
    Text,
    Timestamptz,
    SmallInt,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Text>,
    Bool,
);

// A task's row out of all tables; one statement, so one snapshot: it stands in exactly one of them. (Nothing is locked.) `$1` ids,
// `$2` the least of them, `$3` the greatest.
//
// The plan follows from the text, whatever the statistics say: a LIMIT in each LATERAL leaves no other join than looking up one id
// after the other by an index. Days outside of `$2` .. `$3` are not even prepared for execution, and of the others only the id's own is
// looked into. A final task ends at `open`: what follows is not executed for it.
statement! {
    struct GetMany<'a> -> TaskRow { ids: &'a [Uuid] => Array<SqlUuid>, first: Uuid => SqlUuid, last: Uuid => SqlUuid }
    "SELECT wanted.id, r.queue, r.kind, r.priority, r.max_attempts, r.timeout_ms, r.created_at, r.payload::text,
            CASE WHEN o.status = 1 THEN 'done' WHEN o.status = 2 THEN 'failed' WHEN o.status = 3 THEN 'cancelled'
                 WHEN h.is_leased THEN 'processing' WHEN h.is_scheduled THEN 'scheduled' ELSE 'queued' END,
            greatest(coalesce(o.finished_at, h.since), r.created_at),
            coalesce(o.attempt, h.attempt, 0::smallint),
            h.run_at, o.result::text, coalesce(o.error, h.error), coalesce(o.worker, h.worker), h.progress::text,
            coalesce(h.cancel_requested, false)
     FROM unnest($1) AS wanted (id)
     CROSS JOIN LATERAL (
         SELECT x.* FROM taskrow.records x WHERE x.id = wanted.id AND x.id BETWEEN $2 AND $3 LIMIT 1) r
     LEFT JOIN LATERAL (
         SELECT x.* FROM taskrow.outcomes x WHERE x.task_id = wanted.id AND x.task_id BETWEEN $2 AND $3 LIMIT 1) o ON true
     LEFT JOIN LATERAL (
         SELECT l.id IS NOT NULL AS is_leased, s.seq IS NOT NULL AS is_scheduled,
                coalesce(l.claimed_at, q.ready_at, s.scheduled_at) AS since, coalesce(l.attempt, q.attempt, s.attempt) AS attempt,
                s.run_at, l.worker, l.cancelled & open.bit <> 0 AS cancel_requested, f.error, p.value AS progress
         FROM (
             SELECT taskrow.task_batch(wanted.id) AS batch, taskrow.task_bit(wanted.id) AS bit
             WHERE o.task_id IS NULL OFFSET 0) AS open
         LEFT JOIN LATERAL (
             SELECT x.* FROM taskrow.leases x WHERE x.batch = open.batch AND x.mask & open.bit <> 0 LIMIT 1) l ON true
         LEFT JOIN LATERAL (
             SELECT x.* FROM taskrow.ready x WHERE x.batch = open.batch AND x.mask & open.bit <> 0 LIMIT 1) q ON true
         LEFT JOIN LATERAL (
             SELECT x.* FROM taskrow.scheduled x WHERE x.batch = open.batch AND x.mask & open.bit <> 0 LIMIT 1) s ON true
         LEFT JOIN LATERAL (
             SELECT x.error FROM taskrow.failures x
             WHERE x.task_id = wanted.id AND x.task_id BETWEEN $2 AND $3 AND coalesce(l.attempt, q.attempt, s.attempt) > 0
             ORDER BY x.failed_at DESC LIMIT 1) f ON true
         LEFT JOIN LATERAL (
             SELECT x.value FROM taskrow.progress x WHERE x.task_id = wanted.id AND x.attempt = l.attempt LIMIT 1) p ON true
         LIMIT 1) h ON true"
}

/// A task as it stands.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// -100..=100.
    pub priority: i16,
    /// The most claims it may burn.
    pub max_attempts: i16,
    /// Longest run of one attempt, in milliseconds.
    pub timeout_ms: i32,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// What was submitted.
    pub payload: Json,
    /// Where it stands.
    pub status: Status,
    /// When it came into this state.
    pub updated_at: DateTime<Utc>,
    /// Claims burnt so far.
    pub attempt: i16,
    /// When it is due, while scheduled.
    pub run_at: Option<DateTime<Utc>>,
    /// The result of a done task.
    pub result: Option<Json>,
    /// Why it failed, or why its last attempt did.
    pub error: Option<String>,
    /// The worker that has it, or had it last.
    pub worker: Option<i64>,
    /// What its handler last reported, while processing.
    pub progress: Option<Json>,
    /// Whether its cancellation was asked for while it runs.
    pub cancel_requested: bool,
}

#[derive(Queryable)]
struct Row {
    id: Uuid,
    queue: String,
    kind: String,
    priority: i16,
    max_attempts: i16,
    timeout_ms: i32,
    created_at: DateTime<Utc>,
    payload: String,
    status: String,
    updated_at: DateTime<Utc>,
    attempt: i16,
    run_at: Option<DateTime<Utc>>,
    result: Option<String>,
    error: Option<String>,
    worker: Option<i64>,
    progress: Option<String>,
    cancel_requested: bool,
}

impl From<Row> for Task {
    fn from(row: Row) -> Self {
        Self {
            id: TaskId::from_uuid(row.id),
            queue: row.queue,
            kind: row.kind,
            priority: row.priority,
            max_attempts: row.max_attempts,
            timeout_ms: row.timeout_ms,
            created_at: row.created_at,
            payload: Json::from_database(row.payload),
            status: row.status.parse().expect("the statement names states that exist"),
            updated_at: row.updated_at,
            attempt: row.attempt,
            run_at: row.run_at,
            result: row.result.map(Json::from_database),
            error: row.error,
            worker: row.worker,
            progress: row.progress.map(Json::from_database),
            cancel_requested: row.cancel_requested,
        }
    }
}

/// Reads one task.
pub async fn get(connection: &mut AsyncPgConnection, id: TaskId) -> QueryResult<Option<Task>> {
    let mut found = None;
    get_many(connection, &[id], |task| found = Some(task)).await?;
    Ok(found)
}

/// Reads tasks, all as they stood at one moment. Those that exist are given to `each` one by one as they arrive, in no particular
/// order: all of them together need never be in memory.
pub async fn get_many(
    connection: &mut AsyncPgConnection,
    ids: &[TaskId],
    mut each: impl FnMut(Task),
) -> QueryResult<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(()) };
    let query = GetMany { ids: &ids, first: *first, last: *last };
    let mut rows = pin!(query.load_stream::<Row>(connection).await?);
    while let Some(row) = rows.try_next().await? {
        each(Task::from(row));
    }
    Ok(())
}

/// Which tasks to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this queue.
    pub queue: Option<Name>,
    /// Only of these queues; none: of any.
    pub among: Option<Vec<Name>>,
    /// Only of this kind.
    pub kind: Option<Name>,
    /// Only in this state.
    pub status: Option<Status>,
    /// Only those before this id: the previous page's [`Page::next`].
    pub before: Option<TaskId>,
    /// Most tasks, at most [`PAGE_LIMIT`].
    pub limit: usize,
}

/// A page of tasks.
#[derive(Clone, Debug)]
pub struct Page {
    /// The tasks, newest first.
    pub tasks: Vec<Task>,
    /// Where the next page starts; none: this was the last one.
    pub next: Option<TaskId>,
}

/// The ids of a page. `$1` before, `$2` rows to look at, `$3` tasks wanted, `$4` queue, `$5` kind, `$6` outcome, `$7` queues. The window is
/// bounded first and filtered then, so that a filter which matches little cannot make a page expensive.
macro_rules! page_of {
    ($window:expr, $fits:literal, $edge:literal, $full:literal) => {
        concat!(
            "WITH ",
            $window,
            ",
             hits AS (
                 SELECT w.id FROM win w
                 WHERE w.id < $1 AND ($6::smallint IS NULL OR w.status = $6) AND (",
            $fits,
            ") ORDER BY w.id DESC LIMIT $3)
             SELECT ARRAY(SELECT id FROM hits), (",
            $edge,
            "), ",
            $full
        )
    };
}

/// A window over one of the hot tables: whole batches only, for several rows may share a batch and a cursor lies between ids. Of a
/// backlog in full batches far fewer rows are unfolded than looked at: `so_far` counts the tasks down to and with a batch, the
/// first batch may be cut by the cursor, and a batch has 64 tasks.
macro_rules! window_of_hot {
    ($table:literal) => {
        concat!(
            "rows AS MATERIALIZED (
                 SELECT batch, mask, ($4::text IS NULL OR queue = $4) AND ($7::text[] IS NULL OR queue = ANY($7))
                        AND ($5::text IS NULL OR kind = $5) AS fits
                 FROM taskrow.",
            $table,
            " WHERE batch <= $1 ORDER BY batch DESC LIMIT $2),
             bound AS MATERIALIZED (
                 SELECT count(*) = $2 AS is_full, (SELECT batch FROM rows ORDER BY batch LIMIT 1) AS last FROM rows),
             whole AS MATERIALIZED (
                 SELECT rows.batch, rows.mask, rows.fits,
                        sum(CASE WHEN rows.fits THEN taskrow.mask_size(rows.mask) ELSE 0 END) OVER (ORDER BY rows.batch DESC) AS so_far
                 FROM bound, rows WHERE NOT bound.is_full OR rows.batch <> bound.last),
             win AS MATERIALIZED (
                 SELECT taskrow.batch_task(whole.batch, place) AS id, 0::smallint AS status
                 FROM whole, taskrow.mask_places(whole.mask) AS place
                 WHERE whole.fits AND whole.so_far <= $3 + 128)"
        )
    };
}

type PageRow = (Array<SqlUuid>, Nullable<SqlUuid>, Bool);

macro_rules! page_statement {
    ($name:ident, $sql:expr) => {
        statement! {
            struct $name<'a> -> PageRow {
                before: Uuid => SqlUuid,
                scan: i64 => BigInt,
                limit: i64 => BigInt,
                queue: Option<&'a str> => Nullable<Text>,
                kind: Option<&'a str> => Nullable<Text>,
                outcome: Option<i16> => Nullable<SmallInt>,
                queues: Option<&'a [&'a str]> => Nullable<Array<Text>>,
            }
            $sql
        }
    };
}

page_statement!(
    PageOfAll,
    page_of!(
        "win AS MATERIALIZED (
             SELECT id, 0::smallint AS status, ($4::text IS NULL OR queue = $4) AND ($7::text[] IS NULL OR queue = ANY($7))
                    AND ($5::text IS NULL OR kind = $5) AS fits
             FROM taskrow.records WHERE id < $1 ORDER BY id DESC LIMIT $2)",
        "w.fits",
        "SELECT id FROM win ORDER BY id LIMIT 1",
        "(SELECT count(*) = $2 FROM win)"
    )
);

/// For windows over outcomes, whose queue and kind the records know. Not `r.id = w.id`: an equality could be hashed, over all records.
macro_rules! page_of_outcomes {
    ($window:literal) => {
        page_of!(
            $window,
            "$4::text IS NULL AND $5::text IS NULL AND $7::text[] IS NULL OR EXISTS (
                 SELECT FROM taskrow.records r
                 WHERE r.id BETWEEN w.id AND w.id AND ($4 IS NULL OR r.queue = $4) AND ($7 IS NULL OR r.queue = ANY($7))
                   AND ($5 IS NULL OR r.kind = $5))",
            "SELECT id FROM win ORDER BY id LIMIT 1",
            "(SELECT count(*) = $2 FROM win)"
        )
    };
}

page_statement!(
    PageOfDone,
    page_of_outcomes!(
        "win AS MATERIALIZED (
             SELECT task_id AS id, status FROM taskrow.outcomes WHERE task_id < $1 ORDER BY task_id DESC LIMIT $2)"
    )
);

page_statement!(
    PageOfNotDone,
    page_of_outcomes!(
        "win AS MATERIALIZED (
             SELECT task_id AS id, status FROM taskrow.outcomes
             WHERE task_id < $1 AND status IN (2, 3) ORDER BY task_id DESC LIMIT $2)"
    )
);

/// Pages of the hot tables.
macro_rules! page_of_hot {
    ($table:literal) => {
        page_of!(
            window_of_hot!($table),
            "true",
            "SELECT batch FROM whole ORDER BY batch LIMIT 1",
            "(SELECT is_full FROM bound)"
        )
    };
}

page_statement!(PageOfQueued, page_of_hot!("ready"));

page_statement!(PageOfScheduled, page_of_hot!("scheduled"));

page_statement!(PageOfProcessing, page_of_hot!("leases"));

/// Lists tasks, newest first. Two statements: a task that changes its state between them is left out of a page filtered by state.
pub async fn list(connection: &mut AsyncPgConnection, filter: &Filter) -> QueryResult<Page> {
    let among: Option<Vec<&str>> = filter.among.as_ref().map(|names| names.iter().map(Name::as_str).collect());
    macro_rules! load {
        ($name:ident) => {
            $name {
                before: filter.before.map_or(Uuid::max(), TaskId::uuid),
                scan: SCAN_LIMIT,
                limit: filter.limit.min(PAGE_LIMIT) as i64,
                queue: filter.queue.as_ref().map(Name::as_str),
                kind: filter.kind.as_ref().map(Name::as_str),
                outcome: filter.status.and_then(Status::outcome_code),
                queues: among.as_deref(),
            }
            .get_result(connection)
            .await?
        };
    }
    let (ids, edge, is_full): (Vec<Uuid>, Option<Uuid>, bool) = match filter.status {
        None => load!(PageOfAll),
        Some(Status::Done) => load!(PageOfDone),
        Some(Status::Failed | Status::Cancelled) => load!(PageOfNotDone),
        Some(Status::Queued) => load!(PageOfQueued),
        Some(Status::Scheduled) => load!(PageOfScheduled),
        Some(Status::Processing) => load!(PageOfProcessing),
    };
    let next = if ids.len() == filter.limit.min(PAGE_LIMIT) { ids.last().copied() } else { edge.filter(|_| is_full) };
    let ids: Vec<TaskId> = ids.into_iter().map(TaskId::from_uuid).collect();
    let fits = |task: &Task| filter.status.is_none_or(|status| task.status == status);
    let mut tasks = Vec::with_capacity(ids.len());
    get_many(connection, &ids, |task| tasks.extend(Some(task).filter(fits))).await?;
    tasks.sort_unstable_by_key(|task| Reverse(task.id));
    Ok(Page { tasks, next: next.map(TaskId::from_uuid) })
}
