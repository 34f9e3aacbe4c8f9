//! GET /queues, POST /queues/{name}/pause, POST /queues/{name}/resume

use std::time::Duration;

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, Utc};
use queue::{
    overview::{self, KindOverview, QueueOverview},
    task::Name,
    wakeup::Hint,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{path::QueuePath, reply};
use crate::{access::Caller, problem::Problem, query::Query, shapes, state::AppState};

/// How old the answer of GET /queues may be.
const MAX_AGE: Duration = Duration::from_secs(1);

/// All queues.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueueList {
    /// Those that have open tasks, live workers or a setting, by name.
    queues: Vec<QueueView>,
    /// True when waiting tasks were too many to count and were estimated from a sample.
    is_estimate: bool,
}

/// A queue.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
pub(crate) struct QueueView {
    /// Its name.
    name: String,
    #[serde(flatten)]
    numbers: Numbers,
    /// Whether nothing of it is claimed.
    paused: bool,
    /// Since when.
    #[schema(required)]
    paused_at: Option<DateTime<Utc>>,
    /// The only kinds it accepts; null: any.
    #[schema(required)]
    accepts: Option<Vec<String>>,
    /// Submits are refused while so many tasks are queued; null: never.
    #[schema(required)]
    max_depth: Option<u64>,
    /// Submits are refused while a task has been queued for longer; null: never.
    #[schema(required)]
    max_age_seconds: Option<f64>,
    /// Its kinds that have open tasks or live workers.
    kinds: Vec<KindView>,
}

/// A kind of task in a queue.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueKind)]
pub(crate) struct KindView {
    /// Its name.
    kind: String,
    #[serde(flatten)]
    numbers: Numbers,
}

/// What there is of a queue, or of a kind in it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Numbers {
    /// Tasks that wait for a worker.
    queued: u64,
    /// Tasks that wait for their time.
    scheduled: u64,
    /// Tasks that workers hold.
    processing: u64,
    /// How long the first in line has waited, in seconds; null: nothing waits.
    #[schema(required)]
    oldest_wait_seconds: Option<f64>,
    /// Live workers that take them. Zero with tasks queued: nothing will run them.
    workers: u64,
}

impl Numbers {
    fn of_kind(kind: &KindOverview) -> Self {
        Self {
            queued: kind.queued,
            scheduled: kind.scheduled,
            processing: kind.processing,
            oldest_wait_seconds: kind.oldest_wait.map(|wait| wait.as_secs_f64()),
            workers: kind.workers,
        }
    }

    fn of_queue(queue: &QueueOverview) -> Self {
        Self {
            queued: queue.total(|kind| kind.queued),
            scheduled: queue.total(|kind| kind.scheduled),
            processing: queue.total(|kind| kind.processing),
            oldest_wait_seconds: queue.oldest_wait().map(|wait| wait.as_secs_f64()),
            workers: queue.workers,
        }
    }
}

impl QueueView {
    fn new(name: &str, queue: &QueueOverview) -> Self {
        let kind = |(kind, numbers): (&String, &KindOverview)| KindView {
            kind: kind.clone(),
            numbers: Numbers::of_kind(numbers),
        };
        Self {
            name: name.to_owned(),
            numbers: Numbers::of_queue(queue),
            paused: queue.paused_at.is_some(),
            paused_at: queue.paused_at,
            accepts: queue.accepts.clone(),
            max_depth: queue.limits.depth,
            max_age_seconds: queue.limits.age.map(|age| age.as_secs_f64()),
            kinds: queue.kinds.iter().map(kind).collect(),
        }
    }
}

/// List queues
///
/// Up to a second old.
#[utoipa::path(
    get,
    path = "/queues",
    tag = "queues",
    operation_id = "listQueues",
    responses((status = 200, description = "The queues", body = QueueList))
)]
pub(crate) async fn list_queues(
    State(state): State<AppState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let overview = state.overview.get(MAX_AGE).await?;
    let visible = overview.queues.iter().filter(|(name, _)| caller.reaches(name));
    let queues = visible.map(|(name, queue)| QueueView::new(name, queue)).collect();
    Ok(reply::json(StatusCode::OK, &QueueList { queues, is_estimate: overview.is_estimate }))
}

/// Pause a queue
///
/// Nothing of it is claimed until it is resumed; what runs goes on. Tasks can still be submitted. A queue may be paused before
/// its first task.
#[utoipa::path(
    post,
    path = "/queues/{name}/pause",
    tag = "queues",
    operation_id = "pauseQueue",
    params(("name" = shapes::Name, Path, description = "The queue; write / as %2F")),
    responses((status = 200, description = "It is paused", body = QueueView))
)]
pub(crate) async fn pause_queue(
    State(state): State<AppState>,
    caller: Caller,
    QueuePath(name): QueuePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    caller.check_queue(name.as_str(), &state.metrics.access)?;
    let (paused, told, notifier) = (name.clone(), name.clone(), state.notifier.clone());
    let work = state.store.run(
        move |connection| {
            let name = paused.clone();
            Box::pin(async move { overview::pause(connection, &name).await })
        },
        move |_| notifier.tell(Hint::Pause(told)),
    );
    work.await?;
    now(&state, &name).await
}

/// Resume a queue
///
/// Also when it is not paused.
#[utoipa::path(
    post,
    path = "/queues/{name}/resume",
    tag = "queues",
    operation_id = "resumeQueue",
    params(("name" = shapes::Name, Path, description = "The queue; write / as %2F")),
    responses((status = 200, description = "It runs", body = QueueView))
)]
pub(crate) async fn resume_queue(
    State(state): State<AppState>,
    caller: Caller,
    QueuePath(name): QueuePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    caller.check_queue(name.as_str(), &state.metrics.access)?;
    let (resumed, told, notifier) = (name.clone(), name.clone(), state.notifier.clone());
    let work = state.store.run(
        move |connection| {
            let name = resumed.clone();
            Box::pin(async move { overview::resume(connection, &name).await })
        },
        move |_| notifier.tell(Hint::Work(told)),
    );
    work.await?;
    now(&state, &name).await
}

/// The queue as it stands after what was just done to it.
pub(super) async fn now(state: &AppState, name: &Name) -> Result<Response, Problem> {
    let overview = state.overview.get(Duration::ZERO).await?;
    let nothing = QueueOverview::default();
    let queue = overview.queues.get(name.as_str()).unwrap_or(&nothing);
    Ok(reply::json(StatusCode::OK, &QueueView::new(name.as_str(), queue)))
}
