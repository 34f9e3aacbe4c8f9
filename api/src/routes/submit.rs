//! POST /tasks

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use queue::{Json, NewTask, Status, TaskId, json::BadJson};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::{reply, task::StatusName};
use crate::{
    batch::malformed,
    body::Format,
    options::Given,
    problem::{Kind, Problem},
    state::AppState,
    submitter::{Accepted, SubmitError},
};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `options::Given` reads")]
pub(crate) struct SubmitParams {
    /// Where the task waits. 1 to 64 of A-Z a-z 0-9 . _ - : /
    #[param(required = false, default = "default", max_length = 64)]
    queue: String,
    /// Which handler runs it. 1 to 64 of A-Z a-z 0-9 . _ - : /
    #[param(required = false, default = "echo", max_length = 64)]
    kind: String,
    /// Higher runs first.
    #[param(required = false, default = 0, minimum = -100, maximum = 100)]
    priority: i16,
    /// How long to wait before it may run: a span such as `90s` or `1h30m`, or a number of seconds.
    #[param(required = false, example = "90s")]
    delay: String,
    /// When it may run. Not together with `delay`; a past time means at once.
    #[param(required = false)]
    run_at: DateTime<Utc>,
    /// How often it may be claimed before it fails for good. The default is the server's.
    #[param(required = false, minimum = 1, maximum = 1000)]
    max_attempts: i16,
    /// Longest run of one attempt, up to 7 days; written as `delay`. The default is the server's.
    #[param(required = false, example = "1h")]
    timeout: String,
}

/// A task that is stored.
#[derive(Serialize, ToSchema)]
pub(crate) struct Submitted {
    /// Its id: a name, not a secret.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// `queued`, or `scheduled` when it was given a delay or a time.
    #[schema(value_type = StatusName)]
    status: Status,
    /// Where it waits.
    queue: String,
    /// Which handler runs it.
    kind: String,
    /// Higher runs first.
    priority: i16,
    /// How often it may be claimed.
    max_attempts: i16,
    /// Longest run of one attempt, in milliseconds.
    timeout_ms: u64,
}

/// Submit a task
///
/// The body is the payload: any JSON value, stored as sent. Answered after the commit. A client that gets no answer, or
/// `outcome-unknown`, cannot know whether the task is stored.
#[utoipa::path(
    post,
    path = "/tasks",
    tag = "tasks",
    operation_id = "submitTask",
    params(SubmitParams),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The payload", example = json!({"input": "hello"})),
    responses((
        status = 201,
        description = "Stored",
        body = Submitted,
        headers(("Location" = String, description = "`/tasks/{id}`")),
        example = json!({"id": "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40", "status": "queued", "queue": "default", "kind": "echo", "priority": 0, "max_attempts": 20, "timeout_ms": 3600000})
    ))
)]
pub(crate) async fn submit(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if Format::of(&headers) != Some(Format::Json) {
        return Err(Problem::new(Kind::UnsupportedMediaType, "send JSON with `content-type: application/json`"));
    }
    let options = Given::from_query(query.as_deref())?.check(&state.args.task, Utc::now())?;
    state.strict.check(&options.lane)?;
    let received = state.bodies.receive(body, state.args.http.body_limit.bytes()).await?;
    let payload = Json::parse(received.bytes()).map_err(bad_payload)?;
    drop(received);

    let mut submitted = Submitted {
        id: TaskId::from_uuid(uuid::Uuid::nil()),
        status: Status::Queued,
        queue: options.lane.queue.to_string(),
        kind: options.lane.kind.to_string(),
        priority: options.priority,
        max_attempts: options.max_attempts,
        timeout_ms: u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX),
    };
    let accepted = store(&state, vec![NewTask { options, payload }]).await?;
    let Some(Accepted { id, status }) = accepted.first().copied() else {
        return Err(Problem::new(Kind::Internal, Kind::Internal.meaning()));
    };
    (submitted.id, submitted.status) = (id, status);
    let mut response = reply::json(StatusCode::CREATED, &submitted);
    let location = HeaderValue::from_str(&format!("/tasks/{id}")).expect("a UUID in a path is a header value");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response.into_response())
}

/// Hands tasks to the submitter, and counts.
pub(super) async fn store(state: &AppState, tasks: Vec<NewTask>) -> Result<Vec<Accepted>, SubmitError> {
    let started = Instant::now();
    let outcome = state.submitter.submit(tasks).await;
    match &outcome {
        Ok(_) => state.metrics.submit.acknowledged(started.elapsed()),
        Err(error) => state.metrics.submit.refused(*error),
    }
    outcome
}

fn bad_payload(error: BadJson) -> Problem {
    match error {
        BadJson::Malformed(reason) => malformed(&reason),
        BadJson::Unstorable(reason) => Problem::new(Kind::UnstorablePayload, reason.to_string()),
    }
}
