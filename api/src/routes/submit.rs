//! POST /tasks

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use chrono::{DateTime, Utc};
use queue::{
    Json, NewTask, Status, TaskId,
    json::BadJson,
    keyed::{Answered, How, Unique},
};
use serde::Serialize;
use service::tokens::Scope;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::{
    reply,
    task::{StatusName, WaitParams, say_waited, show},
};
use crate::{
    access::Caller,
    admission::Full,
    batch::malformed,
    body::Format,
    idempotency::{self, Route},
    options::{Given, one_of},
    problem::{Kind, Problem},
    shapes::{Delay, Name, Timeout, UniqueKey},
    state::AppState,
    submitter::{Accepted, SubmitError},
    waits::{Wait, Waited, final_in_time},
};

/// What became of a task that was submitted with a key, also where the body does not say it.
const DISPOSITION: HeaderName = HeaderName::from_static("taskrow-disposition");

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `options::Given` reads")]
pub(crate) struct SubmitParams {
    /// Where the task waits; `default` if absent.
    #[param(required = false)]
    queue: Name,
    /// Which handler runs it; `echo` if absent. Those that start with `taskrow.` are Taskrow's own.
    #[param(required = false)]
    kind: Name,
    /// Higher runs first.
    #[param(required = false, default = 0, minimum = -100, maximum = 100)]
    priority: i16,
    /// How long to wait before it may run.
    #[param(required = false, example = "90s")]
    delay: Delay,
    /// When it may run, at most 366 days ahead. Not together with `delay`; a past time means at once.
    #[param(required = false)]
    run_at: DateTime<Utc>,
    /// How often it may be claimed before it fails for good. The default is the server's.
    #[param(required = false, minimum = 1, maximum = 1000)]
    max_attempts: i16,
    /// Longest run of one attempt. The default is the server's.
    #[param(required = false, example = "1h")]
    timeout: Timeout,
    /// Names the task among those of its queue and kind: while a task with this key is open, it is the answer, and nothing is stored.
    #[param(required = false)]
    unique_key: UniqueKey,
    /// What becomes of the open task: nothing, or, if it waits, it gets this payload and this `delay` or `run_at`. Only together
    /// with `unique_key`.
    #[param(required = false, inline)]
    unique_mode: UniqueModeName,
    /// Where to tell that the task has ended: one of the URLs that the operator allows; not together with `unique_key`. The call is a task of its own, of kind
    /// `taskrow.callback`: it is delivered at least once.
    #[param(required = false, format = "uri", max_length = 2048)]
    callback_url: String,
}

/// What becomes of the open task that holds a unique key.
#[derive(ToSchema)]
#[schema(as = UniqueMode, rename_all = "lowercase", default = "keep")]
#[expect(dead_code, reason = "describes what `options::unique` reads")]
pub(crate) enum UniqueModeName {
    Keep,
    Replace,
}

/// What became of a task that was submitted with a key.
#[derive(ToSchema)]
#[schema(as = Disposition, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes `queue::keyed::How`, which serializes by itself")]
pub(crate) enum DispositionName {
    /// Stored now.
    Stored,
    /// The request had been stored before: this is its task.
    Replayed,
    /// Not stored: this open task holds the unique key.
    Kept,
    /// Not stored: this open task holds the unique key, and got the payload and the start.
    Replaced,
}

/// A task that is stored.
#[derive(Serialize, ToSchema)]
pub(crate) struct Submitted {
    /// Its id: a name, not a secret.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// `queued`, or `scheduled` when it was given a delay or a time. Of an older task that stands for it: where that one stands now.
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
    /// What became of it; only if it came with an `Idempotency-Key` or a `unique_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = DispositionName, required = false)]
    disposition: Option<How>,
}

/// Submit a task
///
/// The body is the payload: any JSON value, stored as sent. Answered after the commit. A client that gets no answer, or
/// `outcome-unknown`, cannot know whether the task is stored: with an `Idempotency-Key` it sends the same request again, and gets the task that is
/// stored, if one is.
///
/// With `Prefer: wait=10` or `?wait=10`, it is answered when the task has ended, or after 10 seconds, at most a minute. The body is the task as
/// `GET /tasks/{id}` shows it if it has ended (`status` is `done`, `failed` or `cancelled`), and otherwise the usual one (`queued` or
/// `scheduled`): then ask for it at `Location`. From the commit on no trouble turns the answer into an error.
#[utoipa::path(
    post,
    path = "/tasks",
    tag = "tasks",
    operation_id = "submitTask",
    params(
        SubmitParams,
        ("Idempotency-Key" = Option<String>, Header, pattern = "^(\"([ !#-\\[\\]-~]|\\\\[\"\\\\]){1,255}\"|[!#-+\\--:<-\\[\\]-~]{1,255})$", description = "Names this request, in quotes: 1 to 255 printable ASCII characters. The same request with the same key is stored once, within 24 hours", example = json!("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"")),
        WaitParams,
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 60, for the task to end (RFC 7240)"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The payload", example = json!({"input": "hello"})),
    responses((
        status = 200,
        description = "Not stored: the task that stands for it, by its `Idempotency-Key` or its `unique_key`. `status` says where that one stands now",
        body = Submitted,
        headers(
            ("Location" = String, description = "`/tasks/{id}`"),
            ("Idempotency-Replayed" = Option<String>, description = "`true`: this request was stored before"),
            ("Taskrow-Disposition" = Option<String>, description = "With a key: `disposition`, also where the body is the whole task"),
        ),
    ), (
        status = 201,
        description = "Stored",
        body = Submitted,
        headers(
            ("Location" = String, description = "`/tasks/{id}`"),
            ("Preference-Applied" = Option<String>, description = "`wait=N`: it was waited, up to so many seconds"),
        ),
        example = json!({"id": "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40", "status": "queued", "queue": "default", "kind": "echo", "priority": 0, "max_attempts": 20, "timeout_ms": 3600000})
    ))
)]
pub(crate) async fn submit(
    State(state): State<AppState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if Format::of(&headers) != Some(Format::Json) {
        return Err(Problem::new(Kind::UnsupportedMediaType, "send JSON with `content-type: application/json`"));
    }
    let mut given = Given::from_query(query.as_deref())?;
    let wait = Wait::asked(&headers, given.wait);
    if wait.is_some() {
        // The answer shows the task, or an older one that stands for it.
        caller.check_scope(Scope::Read, &state.metrics.access)?;
    }
    let (key, unique) = (idempotency::key(&headers)?, given.unique.take());
    let callback_url = given.callback_url(&state.args.task)?;
    one_of(callback_url.as_deref(), unique.as_ref())?;
    let options = given.check(&state.args.task, Utc::now())?;
    caller.check_queue(options.lane.queue.as_str(), &state.metrics.access)?;
    state.strict.check(&options.lane)?;
    if let Err(full) = state.admission.check([&options.lane.queue]) {
        Box::pin(refuse_unless_known(&state, &caller, full, key.as_deref())).await?;
    }
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
        disposition: None,
    };
    let task = NewTask { options, payload, callback_url };
    // In boxes: what other submits do not use makes them no larger.
    let keyed = if key.is_some() || unique.is_some() {
        Box::pin(submit_keyed(&state, &caller, key, task, unique, &mut submitted)).await?
    } else {
        let accepted = store(&state, vec![task]).await?;
        let Some(Accepted { id, status }) = accepted.first().copied() else {
            return Err(Problem::new(Kind::Internal, Kind::Internal.meaning()));
        };
        (submitted.id, submitted.status) = (id, status);
        Vec::new()
    };
    let status = if keyed.is_empty() { StatusCode::CREATED } else { keyed_status(&keyed) };
    let mut response = match wait {
        None => reply::json(status, &submitted),
        Some(wait) => Box::pin(answer_later(&state, &submitted, status, wait)).await,
    };
    mark_replayed(&mut response, &keyed);
    if let Some(task) = keyed.first() {
        response.headers_mut().insert(DISPOSITION, HeaderValue::from_static(task.how.as_str()));
    }
    let location =
        HeaderValue::from_str(&format!("/tasks/{}", submitted.id)).expect("a UUID in a path is a header value");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Refuses a request to a full queue, unless it is one that was stored before: then its key knows the answer, and nothing is stored.
pub(super) async fn refuse_unless_known(
    state: &AppState,
    caller: &Caller,
    full: Full,
    key: Option<&str>,
) -> Result<(), Problem> {
    if let Some(key) = key
        && state.keyed.is_known(&caller.key_scope(), key).await?
    {
        return Ok(());
    }
    state.metrics.submit.queue_full();
    Err(full.into())
}

/// Stores a task that carries a key, or finds the one that stands for it.
async fn submit_keyed(
    state: &AppState,
    caller: &Caller,
    key: Option<String>,
    task: NewTask,
    unique: Option<Unique>,
    submitted: &mut Submitted,
) -> Result<Vec<Answered>, Problem> {
    let unique = unique.map(|unique| (0, unique)).into_iter().collect();
    let tasks = state.keyed.submit(caller.key_scope(), Route::Task, key, vec![task], unique).await?;
    let Some(task) = tasks.first() else {
        return Err(Problem::new(Kind::Internal, Kind::Internal.meaning()));
    };
    (submitted.id, submitted.status, submitted.disposition) = (task.id, task.status, Some(task.how));
    (submitted.priority, submitted.max_attempts) = (task.priority, task.max_attempts);
    submitted.timeout_ms = task.timeout_ms.unsigned_abs().into();
    Ok(tasks)
}

/// 201 if anything was stored.
pub(super) fn keyed_status(tasks: &[Answered]) -> StatusCode {
    if tasks.iter().any(|task| task.how == How::Stored) { StatusCode::CREATED } else { StatusCode::OK }
}

/// Tells clients that they asked before.
pub(super) fn mark_replayed(response: &mut Response, tasks: &[Answered]) {
    if tasks.iter().any(|task| task.how == How::Replayed) {
        response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    }
}

/// The answer to a client that waits: the task if it ends in time.
async fn answer_later(state: &AppState, submitted: &Submitted, status: StatusCode, wait: Wait) -> Response {
    let Waited { task, as_wished } = final_in_time(&state.reads, &state.waits, submitted.id, wait).await;
    let mut response = match task {
        Some(task) => show(task, status, &HeaderMap::new()),
        None => reply::json(status, submitted),
    };
    say_waited(&mut response, wait, as_wished);
    response
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
