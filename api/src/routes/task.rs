//! GET /tasks/{id}

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use queue::{Json, Status, TaskId, inspect};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    path::{TaskPath, unknown},
    reply,
};
use crate::{etag, problem::Problem, state::AppState};

/// Where a task stands.
#[derive(ToSchema)]
#[schema(as = Status, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes `queue::Status`, which serializes by itself")]
pub(crate) enum StatusName {
    Queued,
    Scheduled,
    Processing,
    Done,
    Failed,
    Cancelled,
}

/// A task as it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Task)]
pub(crate) struct TaskView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// Where it stands.
    #[schema(value_type = StatusName)]
    status: Status,
    /// Where it waits, or waited.
    queue: String,
    /// Which handler runs it.
    kind: String,
    /// Higher runs first.
    priority: i16,
    /// As submitted.
    #[schema(value_type = serde_json::Value)]
    payload: Json,
    /// What its handler returned; null unless it is done.
    #[schema(value_type = serde_json::Value)]
    result: Option<Json>,
    /// Why it failed, or why its last attempt did.
    #[schema(required)]
    error: Option<String>,
    /// Claims burnt so far.
    attempt: i16,
    /// How many it may burn.
    max_attempts: i16,
    /// Longest run of one attempt, in milliseconds.
    timeout_ms: i32,
    /// When it was stored.
    created_at: DateTime<Utc>,
    /// When it came into this state.
    updated_at: DateTime<Utc>,
    /// When it is due; null unless it is scheduled.
    #[schema(required)]
    run_at: Option<DateTime<Utc>>,
    /// The worker that has it, or had it last.
    #[schema(required)]
    worker: Option<i64>,
    /// What its handler last reported; null unless it is processing.
    #[schema(value_type = serde_json::Value)]
    progress: Option<Json>,
    /// Whether its cancellation was asked for while it runs.
    cancel_requested: bool,
}

impl From<inspect::Task> for TaskView {
    fn from(task: inspect::Task) -> Self {
        Self {
            id: task.id,
            status: task.status,
            queue: task.queue,
            kind: task.kind,
            priority: task.priority,
            payload: task.payload,
            result: task.result,
            error: task.error,
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            timeout_ms: task.timeout_ms,
            created_at: task.created_at,
            updated_at: task.updated_at,
            run_at: task.run_at,
            worker: task.worker,
            progress: task.progress,
            cancel_requested: task.cancel_requested,
        }
    }
}

/// Read a task
///
/// The answer carries an `ETag`; with `If-None-Match`, an unchanged task is answered with 304 and no body.
#[utoipa::path(
    get,
    path = "/tasks/{id}",
    tag = "tasks",
    operation_id = "getTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The task", body = TaskView, headers(("ETag" = String, description = "Changes with the task"))),
        (status = 304, description = "Not changed since"),
    )
)]
pub(crate) async fn get_task(
    State(state): State<AppState>,
    TaskPath(id): TaskPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = state.reads.get(id).await?;
    let body = reply::to_vec(&TaskView::from(task.ok_or_else(|| unknown(id))?));
    let tag = etag::of(&body);
    let mut response = if etag::matches(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        reply::bytes(StatusCode::OK, body)
    };
    response.headers_mut().insert(header::ETAG, tag);
    // Caches may keep it and must ask each time.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
