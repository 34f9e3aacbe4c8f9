//! POST /tasks/batch

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use queue::{
    NewTask, Status, TaskId,
    keyed::{Answered, How, Unique},
    strict::Strict,
};
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::{
    reply,
    submit::{DispositionName, UniqueModeName, keyed_status, mark_replayed, refuse_unless_known, store},
    task::StatusName,
};
use crate::{
    access::Caller,
    batch::{self, Batch},
    body::Format,
    idempotency::{self, Route},
    problem::{Kind, Problem},
    query::Query,
    shapes::{Delay, Name, Timeout, UniqueKey},
    state::AppState,
    submitter::Accepted,
};

/// A task of a batch.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `batch::parse` reads")]
pub(crate) struct BatchItem {
    /// Any JSON value.
    payload: serde_json::Value,
    /// Where the task waits; `default` if absent.
    queue: Option<Name>,
    /// Which handler runs it; `echo` if absent. Those that start with `taskrow.` are Taskrow's own.
    kind: Option<Name>,
    /// Higher runs first.
    #[schema(default = 0, minimum = -100, maximum = 100)]
    priority: Option<i16>,
    /// How long to wait before it may run.
    delay: Option<Delay>,
    /// When it may run, at most 366 days ahead. Not together with `delay`.
    run_at: Option<DateTime<Utc>>,
    /// How often it may be claimed before it fails for good.
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<i16>,
    /// Longest run of one attempt.
    timeout: Option<Timeout>,
    /// Names the task among those of its queue and kind, also within the batch: while a task with this key is open, it is the answer, and nothing is
    /// stored.
    unique_key: Option<UniqueKey>,
    /// What becomes of the open task: nothing, or, if it waits, it gets this payload and this `delay` or `run_at`. Only together
    /// with `unique_key`.
    unique_mode: Option<UniqueModeName>,
    /// Where to tell that the task has ended: one of the URLs that the operator allows; not together with `unique_key`.
    #[schema(format = "uri", max_length = 2048)]
    callback_url: Option<String>,
}

/// Tasks to be stored, all or none.
#[derive(ToSchema)]
#[schema(min_items = 1, max_items = 10_000)]
#[expect(dead_code, reason = "describes what `batch::parse` reads")]
pub(crate) struct BatchItems(Vec<BatchItem>);

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
    /// `queued` or `scheduled`. Of an older task that stands for it: where that one stands now.
    #[schema(value_type = StatusName)]
    status: Status,
    /// What became of it; only in answers to requests with an `Idempotency-Key` or a `unique_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = DispositionName, required = false)]
    disposition: Option<How>,
}

/// Submit up to 10,000 tasks
///
/// A JSON array of items, or one item a line (`application/x-ndjson`, `application/jsonl`). All are stored, or none.
/// Options are per item; the query takes none. An `Idempotency-Key` names the whole request.
#[utoipa::path(
    post,
    path = "/tasks/batch",
    tag = "tasks",
    operation_id = "submitBatch",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^(\"([ !#-\\[\\]-~]|\\\\[\"\\\\]){1,255}\"|[!#-+\\--:<-\\[\\]-~]{1,255})$", description = "Names this request, as in `POST /tasks`: the same batch with the same key is stored once")),
    request_body(
        description = "The tasks",
        content(
            (BatchItems = "application/json", example = json!([{"payload": {"input": "hello"}}, {"payload": 7, "queue": "mail", "delay": "5m"}])),
            (BatchItem = "application/x-ndjson"),
        ),
    ),
    responses(
        (
            status = 200,
            description = "Nothing was stored: for each item there is a task that stands for it, by the `Idempotency-Key` or its `unique_key`",
            body = SubmittedBatch,
            headers(("Idempotency-Replayed" = Option<String>, description = "`true`: this request was stored before")),
        ),
        (status = 201, description = "Stored, all of them, but for items for which another task stands by their `unique_key`", body = SubmittedBatch),
    )
)]
pub(crate) async fn submit_batch(
    State(state): State<AppState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = Format::of(&headers)
        .ok_or_else(|| Problem::new(Kind::UnsupportedMediaType, "send `application/json` or `application/x-ndjson`"))?;
    Query::parse(query.as_deref(), &[])?;
    let key = idempotency::key(&headers)?;
    let received = state.bodies.receive(body, state.args.http.batch_body_limit.bytes()).await?;
    let shared = state.clone();
    let mut strict = state.strict.get();
    if caller.is_limited() {
        // What other queues accept is not for it; that they are others is said below.
        strict = strict.map(|strict| Arc::new(Strict::clone(&strict).only(|queue| caller.reaches(queue.as_str()))));
    }
    // Megabytes of JSON would hold up other requests.
    let parsed = spawn_blocking(move || {
        batch::parse(received.bytes(), format, &shared.args.task, strict.as_deref(), Utc::now())
    })
    .await;
    let Batch { tasks, unique } = parsed.map_err(|_| Problem::new(Kind::Internal, Kind::Internal.meaning()))??;
    if caller.is_limited() {
        let mut queues = tasks.iter().map(|task| task.options.lane.queue.as_str());
        queues.try_for_each(|queue| caller.check_queue(queue, &state.metrics.access))?;
    }
    if let Err(full) = state.admission.check(tasks.iter().map(|task| &task.options.lane.queue)) {
        Box::pin(refuse_unless_known(&state, &caller, full, key.as_deref())).await?;
    }
    if key.is_some() || !unique.is_empty() {
        return Box::pin(submit_keyed(&state, &caller, key, tasks, unique)).await;
    }
    let accepted = store(&state, tasks).await?;
    let item = |task: &Accepted| SubmittedItem { id: task.id, status: task.status, disposition: None };
    let tasks = accepted.iter().map(item).collect();
    Ok(reply::json(StatusCode::CREATED, &SubmittedBatch { tasks }))
}

/// As [`submit_batch`], with keys.
async fn submit_keyed(
    state: &AppState,
    caller: &Caller,
    key: Option<String>,
    tasks: Vec<NewTask>,
    unique: Vec<(usize, Unique)>,
) -> Result<Response, Problem> {
    let answered = state.keyed.submit(caller.key_scope(), Route::Batch, key, tasks, unique).await?;
    let item = |task: &Answered| SubmittedItem { id: task.id, status: task.status, disposition: Some(task.how) };
    let tasks = answered.iter().map(item).collect();
    let mut response = reply::json(keyed_status(&answered), &SubmittedBatch { tasks });
    mark_replayed(&mut response, &answered);
    Ok(response)
}
