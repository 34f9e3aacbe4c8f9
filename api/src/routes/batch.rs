//! POST /tasks/batch

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use queue::{Status, TaskId};
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::{reply, submit::store, task::StatusName};
use crate::{
    batch,
    body::Format,
    problem::{Kind, Problem},
    query::Query,
    state::AppState,
};

/// A task of a batch.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `batch::parse` reads")]
pub(crate) struct BatchItem {
    /// Any JSON value.
    payload: serde_json::Value,
    /// Where the task waits; `default` if absent.
    #[schema(required = false, max_length = 64)]
    queue: String,
    /// Which handler runs it; `echo` if absent.
    #[schema(required = false, max_length = 64)]
    kind: String,
    /// Higher runs first.
    #[schema(required = false, default = 0, minimum = -100, maximum = 100)]
    priority: i16,
    /// How long to wait before it may run: a span such as `90s` or `1h30m`, or a number of seconds.
    #[schema(required = false, example = "90s")]
    delay: String,
    /// When it may run. Not together with `delay`.
    #[schema(required = false)]
    run_at: DateTime<Utc>,
    /// How often it may be claimed before it fails for good.
    #[schema(required = false, minimum = 1, maximum = 1000)]
    max_attempts: i16,
    /// Longest run of one attempt, up to 7 days; written as `delay`.
    #[schema(required = false, example = "1h")]
    timeout: String,
}

/// A batch that is stored.
#[derive(Serialize, ToSchema)]
pub(crate) struct SubmittedBatch {
    /// In the order sent.
    tasks: Vec<SubmittedItem>,
}

/// A task of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct SubmittedItem {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// `queued` or `scheduled`.
    #[schema(value_type = StatusName)]
    status: Status,
}

/// Submit up to 10,000 tasks
///
/// A JSON array of items, or one item a line (`application/x-ndjson`, `application/jsonl`). All are stored, or none.
/// Options are per item; the query takes none.
#[utoipa::path(
    post,
    path = "/tasks/batch",
    tag = "tasks",
    operation_id = "submitBatch",
    request_body(
        description = "The tasks",
        content(
            (Vec<BatchItem> = "application/json", example = json!([{"payload": {"input": "hello"}}, {"payload": 7, "queue": "mail", "delay": "5m"}])),
            (BatchItem = "application/x-ndjson"),
        ),
    ),
    responses((status = 201, description = "Stored, all of them", body = SubmittedBatch))
)]
pub(crate) async fn submit_batch(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = Format::of(&headers)
        .ok_or_else(|| Problem::new(Kind::UnsupportedMediaType, "send `application/json` or `application/x-ndjson`"))?;
    Query::parse(query.as_deref(), &[])?;
    let received = state.bodies.receive(body, state.args.http.batch_body_limit.bytes()).await?;
    let shared = state.clone();
    // Megabytes of JSON would hold up other requests.
    let parsed = spawn_blocking(move || {
        batch::parse(received.bytes(), format, &shared.args.task, shared.strict.get().as_deref(), Utc::now())
    })
    .await;
    let tasks = parsed.map_err(|_| Problem::new(Kind::Internal, Kind::Internal.meaning()))??;
    let accepted = store(&state, tasks).await?;
    let tasks = accepted.iter().map(|task| SubmittedItem { id: task.id, status: task.status }).collect();
    Ok(reply::json(StatusCode::CREATED, &SubmittedBatch { tasks }))
}
