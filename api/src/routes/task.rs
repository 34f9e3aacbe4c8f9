//! GET /tasks/{id}

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use queue::{
    Json, Status, TaskId,
    inspect::{self, Task},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    path::{TaskPath, unknown},
    reply,
};
use crate::{
    access::Caller,
    etag,
    middleware::Untimed,
    options::duration,
    problem::Problem,
    query::Query,
    shapes::Patience,
    state::AppState,
    waits::{PREFERENCE_APPLIED, Wait, Waited, read_when_final},
};

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

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `get_task` reads")]
pub(crate) struct WaitParams {
    /// As `Prefer: wait`, which it wins over.
    #[param(required = false, example = "10s")]
    wait: Patience,
}

/// Read a task
///
/// The answer carries an `ETag`; with `If-None-Match`, an unchanged task is answered with 304 and no body.
///
/// With `Prefer: wait=10` or `?wait=10`, a task that has not ended is answered when it has, or as it stands after 10 seconds. At most a
/// minute is waited. `Preference-Applied` says that it was; without it too many wait, or the server stops: ask again in a while.
#[utoipa::path(
    get,
    path = "/tasks/{id}",
    tag = "tasks",
    operation_id = "getTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        WaitParams,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of an earlier answer"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 60, for the task to end (RFC 7240)"),
    ),
    responses(
        (status = 200, description = "The task", body = TaskView, headers(
            ("ETag" = String, description = "Changes with the task"),
            ("Preference-Applied" = Option<String>, description = "`wait=N`: it was waited, up to so many seconds"),
        )),
        (status = 304, description = "Not changed since"),
    )
)]
pub(crate) async fn get_task(
    State(state): State<AppState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let option = Query::parse(query.as_deref(), &["wait"])?.read("wait", duration)?;
    let Some(wait) = Wait::asked(&headers, option) else {
        let task = caller.visible(state.reads.get(id).await?);
        return Ok(show(task.ok_or_else(|| unknown(id))?, StatusCode::OK, &headers));
    };
    let Waited { task, as_wished } =
        read_when_final(&state.reads, &state.waits, id, wait, |task| caller.reaches(&task.queue)).await?;
    let mut response = show(task.ok_or_else(|| unknown(id))?, StatusCode::OK, &headers);
    say_waited(&mut response, wait, as_wished);
    Ok(response)
}

/// A task as an answer with this status, unless the client has it.
pub(super) fn show(task: Task, status: StatusCode, headers: &HeaderMap) -> Response {
    let body = reply::to_vec(&TaskView::from(task));
    let tag = etag::of(&body);
    let mut response = if etag::matches(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        reply::bytes(status, body)
    };
    response.headers_mut().insert(header::ETAG, tag);
    // Caches may keep it and must ask each time.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Tells the client whether it was waited as it wished, and the metrics that the answer took as long as the client wanted.
pub(super) fn say_waited(response: &mut Response, wait: Wait, as_wished: bool) {
    response.extensions_mut().insert(Untimed);
    if as_wished {
        response.headers_mut().insert(PREFERENCE_APPLIED, wait.applied());
    }
}
