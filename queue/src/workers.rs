//! Worker processes: identity, heartbeat, and what a heartbeat brings back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl, QueryResult, Queryable, Selectable, SelectableHelper,
    dsl::sql,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use schema::tables::workers;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    id::{BatchId, TaskId},
    mask::Mask,
    statement::statement,
    submit::milliseconds,
    task::Name,
};

/// Identity of a worker process: new at every start and after being found dead, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub i64);

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct Registration {
    /// For people: the pod's or host's name.
    pub name: String,
    /// Its release.
    pub version: String,
    /// How old its heartbeat may get before its leases are given to others.
    pub lease_ttl: Duration,
    /// Tasks it runs at once.
    pub concurrency: u32,
    /// The queues it takes from.
    pub queues: Vec<Name>,
    /// The kinds it has handlers for.
    pub kinds: Vec<Name>,
}

statement! {
    /// The name goes into a table of its own, too, which keeps it when the worker is gone from the list.
    struct Register<'a> -> (BigInt,) {
        name: &'a str => Text,
        version: &'a str => Text,
        lease_ttl_ms: i32 => Integer,
        concurrency: i32 => Integer,
        queues: &'a [&'a str] => Array<Text>,
        kinds: &'a [&'a str] => Array<Text>,
    }
    "WITH listed AS (
         INSERT INTO taskrow.workers (name, version, lease_ttl_ms, concurrency, queues, kinds) VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id, started_at, name, version),
     named AS (
         INSERT INTO taskrow.worker_names (id, started_at, name, version) SELECT id, started_at, name, version FROM listed)
     SELECT id FROM listed"
}

/// Registers a worker and gives it its identity.
pub async fn register(connection: &mut AsyncPgConnection, worker: &Registration) -> QueryResult<WorkerId> {
    let (id,): (i64,) = Register {
        name: &worker.name,
        version: &worker.version,
        lease_ttl_ms: milliseconds(worker.lease_ttl) as i32,
        concurrency: worker.concurrency as i32,
        queues: &worker.queues.iter().map(Name::as_str).collect::<Vec<_>>(),
        kinds: &worker.kinds.iter().map(Name::as_str).collect::<Vec<_>>(),
    }
    .get_result(connection)
    .await?;
    Ok(WorkerId(id))
}

statement! {
    /// One row per lease with cancellations, at least one while the worker lives, none when it was found dead.
    struct Beat -> (Array<Text>, Nullable<SqlUuid>, Nullable<BigInt>) {
        worker: i64 => BigInt,
    }
    "WITH beat AS (
         UPDATE taskrow.workers SET heartbeat_at = clock_timestamp() WHERE id = $1 AND dead_at IS NULL RETURNING id, queues)
     SELECT ARRAY(SELECT q.name FROM taskrow.queues q WHERE q.name = ANY (beat.queues) AND q.paused_at IS NOT NULL),
            l.batch, l.cancelled
     FROM beat LEFT JOIN taskrow.leases l ON l.worker = $1 AND l.cancelled <> 0"
}

/// What a heartbeat found.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Alive.
    Alive {
        /// Its running tasks whose cancellation was asked for.
        cancelled: Vec<TaskId>,
        /// Those of its queues that are paused.
        paused: Vec<Name>,
    },
    /// Another worker found it dead; its leases are somebody else's. It must stop everything it runs.
    Fenced,
}

/// Says that a worker lives.
pub async fn heartbeat(connection: &mut AsyncPgConnection, worker: WorkerId) -> QueryResult<Pulse> {
    let rows: Vec<(Vec<String>, Option<Uuid>, Option<i64>)> = Beat { worker: worker.0 }.load(connection).await?;
    let Some((paused, ..)) = rows.as_slice().first() else {
        return Ok(Pulse::Fenced);
    };
    let paused = paused.iter().filter_map(|name| Name::new(name.as_str()).ok()).collect();
    let cancelled = rows
        .iter()
        .filter_map(|(_, batch, mask)| Some((BatchId::from_uuid((*batch)?), Mask::from_sql((*mask)?))))
        .flat_map(|(batch, mask)| batch.tasks(mask).collect::<Vec<_>>())
        .collect();
    Ok(Pulse::Alive { cancelled, paused })
}

/// Takes a worker that holds no leases off the list. With leases left it stays, and rescue gives them back in time.
///
/// Two statements in a transaction: a claim that the worker gave up on may still run. The first waits for it, the second sees
/// its leases. In one statement the look would come before the wait.
pub async fn deregister(connection: &mut AsyncPgConnection, worker: WorkerId) -> QueryResult<()> {
    let row = workers::table.find(worker.0);
    connection
        .transaction(async |connection| {
            let _: Vec<i64> = row.select(workers::id).for_update().load(connection).await?;
            diesel::delete(row)
                .filter(sql::<diesel::sql_types::Bool>(
                    "NOT EXISTS (SELECT FROM taskrow.leases l WHERE l.worker = taskrow.workers.id)",
                ))
                .execute(connection)
                .await
                .map(drop)
        })
        .await
}

/// A worker as operators see it.
#[derive(Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = workers)]
pub struct WorkerRow {
    /// Identity.
    pub id: i64,
    /// The pod's or host's name.
    pub name: String,
    /// Its release.
    pub version: String,
    /// When it registered.
    pub started_at: DateTime<Utc>,
    /// Its last sign of life.
    pub heartbeat_at: DateTime<Utc>,
    /// When it was found dead.
    pub dead_at: Option<DateTime<Utc>>,
    /// How old the heartbeat may get, in milliseconds.
    pub lease_ttl_ms: i32,
    /// Tasks it runs at once.
    pub concurrency: i32,
    /// Queues it takes from.
    pub queues: Vec<String>,
    /// Kinds it runs.
    pub kinds: Vec<String>,
}

/// Most workers listed.
pub const LIST_LIMIT: i64 = 1000;

/// The workers, newest first, those found dead in the last hour included; at most [`LIST_LIMIT`].
pub async fn list(connection: &mut AsyncPgConnection) -> QueryResult<Vec<WorkerRow>> {
    workers::table.select(WorkerRow::as_select()).order(workers::id.desc()).limit(LIST_LIMIT).load(connection).await
}
