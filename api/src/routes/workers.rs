//! GET /workers

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{IntoSql, dsl, sql_types::Timestamptz};
use diesel_async::RunQueryDsl;
use queue::workers::{self, WorkerRow};
use serde::Serialize;
use utoipa::ToSchema;

use super::reply;
use crate::{access::Caller, problem::Problem, query::Query, state::AppState};

/// Workers.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// Newest first, at most 1,000; those found dead in the last hour included.
    workers: Vec<WorkerView>,
}

/// A worker process.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerView {
    /// New at every start.
    id: i64,
    /// The pod's or host's name.
    name: String,
    /// Its release.
    version: String,
    /// Whether its heartbeat is young enough.
    state: WorkerState,
    /// When it registered.
    started_at: DateTime<Utc>,
    /// Its last sign of life.
    heartbeat_at: DateTime<Utc>,
    /// When another worker found it dead, and began to give its tasks back.
    #[schema(required)]
    dead_at: Option<DateTime<Utc>>,
    /// How old the heartbeat may get, in milliseconds.
    lease_ttl_ms: i32,
    /// Tasks it runs at once.
    concurrency: i32,
    /// Queues it takes from.
    queues: Vec<String>,
    /// Kinds it has handlers for.
    kinds: Vec<String>,
}

/// Whether a worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WorkerState {
    /// Its heartbeat is young enough.
    Alive,
    /// Its heartbeat is too old; its tasks are, or will be, given to others.
    Dead,
}

impl WorkerView {
    fn new(row: WorkerRow, now: DateTime<Utc>) -> Self {
        let is_late = now - row.heartbeat_at > TimeDelta::milliseconds(row.lease_ttl_ms.into());
        Self {
            state: if is_late || row.dead_at.is_some() { WorkerState::Dead } else { WorkerState::Alive },
            id: row.id,
            name: row.name,
            version: row.version,
            started_at: row.started_at,
            heartbeat_at: row.heartbeat_at,
            dead_at: row.dead_at,
            lease_ttl_ms: row.lease_ttl_ms,
            concurrency: row.concurrency,
            queues: row.queues,
            kinds: row.kinds,
        }
    }
}

/// List workers
#[utoipa::path(
    get,
    path = "/workers",
    tag = "workers",
    operation_id = "listWorkers",
    responses((status = 200, description = "The workers", body = WorkerList))
)]
pub(crate) async fn list_workers(
    State(state): State<AppState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let rows_and_now = state.store.read(|connection| {
        Box::pin(async move {
            let rows = workers::list(connection).await?;
            // Only the database's clock decides who is late.
            let clock = diesel::select(dsl::now.into_sql::<Timestamptz>());
            let now: DateTime<Utc> = clock.get_result(connection).await?;
            Ok((rows, now))
        })
    });
    let (rows, now) = rows_and_now.await?;
    let visible = rows.into_iter().filter_map(|row| visible(row, &caller));
    let workers = visible.map(|row| WorkerView::new(row, now)).collect();
    Ok(reply::json(StatusCode::OK, &WorkerList { workers }))
}

/// The worker, with those of its queues that the caller reaches. None: it reaches none of them.
fn visible(mut row: WorkerRow, caller: &Caller) -> Option<WorkerRow> {
    if caller.is_limited() {
        row.queues.retain(|queue| caller.reaches(queue));
        if row.queues.is_empty() {
            return None;
        }
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_dead_when_found_dead_or_late() {
        let now = Utc::now();
        let state = |age_ms: i64, dead_at| {
            let row = WorkerRow {
                id: 1,
                name: String::new(),
                version: String::new(),
                started_at: now,
                heartbeat_at: now - TimeDelta::milliseconds(age_ms),
                dead_at,
                lease_ttl_ms: 30_000,
                concurrency: 1,
                queues: Vec::new(),
                kinds: Vec::new(),
            };
            WorkerView::new(row, now).state
        };
        assert_eq!(state(30_000, None), WorkerState::Alive);
        assert_eq!(state(30_001, None), WorkerState::Dead);
        assert_eq!(state(0, Some(now)), WorkerState::Dead);
    }
}
