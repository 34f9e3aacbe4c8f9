//! GET /tasks/{id}/events

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use queue::{Json, Status, TaskId, inspect::Task, watch::Question};
use serde::Serialize;
use service::backoff::{Backoff, jittered};
use tokio::time::{self, Instant};
use utoipa::ToSchema;

use super::{
    path::{TaskPath, unknown},
    reply,
    task::TaskView,
};
use crate::{
    access::Caller,
    etag,
    problem::Problem,
    query::Query,
    state::AppState,
    waits::{News, Watch},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks nginx not to hold events back.
const BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// Longest stream. Clients come back by themselves; connections for ever would never be balanced anew.
const LONGEST: Duration = Duration::from_secs(3600);
/// Time between comments that keep a silent connection open and find out that a client is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon clients are asked to come back when a stream ends before its task.
const RETRY: Duration = Duration::from_secs(2);
/// As [`RETRY`], of those who found no place to wait.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(10);

/// What the event `progress` tells.
#[derive(Serialize, ToSchema)]
pub(crate) struct Progress {
    /// The task.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// The attempt that reports.
    attempt: i16,
    /// What its handler last reported.
    #[schema(value_type = serde_json::Value)]
    progress: Json,
}

/// One event of the stream.
#[derive(ToSchema)]
#[schema(as = TaskEvent)]
#[expect(dead_code, reason = "describes what `axum::response::sse` writes")]
pub(crate) struct EventView {
    /// What the data is; none in a comment and in the event that only says when to come back.
    #[schema(inline)]
    event: Option<EventName>,
    /// What is shown, for `Last-Event-ID`.
    id: Option<String>,
    /// JSON on one line.
    data: Option<String>,
    /// After how many milliseconds to come back when the stream has ended.
    #[schema(minimum = 0)]
    retry: Option<u32>,
}

/// What the data of an event is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `Follower` tells")]
pub(crate) enum EventName {
    /// The task, as `GET /tasks/{id}` shows it.
    Status,
    /// The task's id, the attempt, and what its handler last reported.
    Progress,
}

/// Follow a task
///
/// Server-sent events: first, and whenever its state or attempt has changed, `status` with the task as `GET /tasks/{id}` shows it; when only
/// its progress has, `progress` with `{"id", "attempt", "progress"}`. They tell how it stands, not each step in between. After the `status` of
/// its end the stream ends; it also ends after an hour and when the server stops, and at once when too many wait: come back then, as
/// `EventSource` does by itself. With `Last-Event-ID`, what was told is not told again; of a task whose end was told there is nothing left (204).
#[utoipa::path(
    get,
    path = "/tasks/{id}/events",
    tag = "tasks",
    operation_id = "followTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was received"),
    ),
    responses(
        (status = 200, description = "The events; each is as the schema says", body = EventView, content_type = "text/event-stream",
         example = "retry: 2000\nevent: status\nid: 89f7c3a1b2d4e5f6\ndata: {\"id\": \"019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40\", \"status\": \"processing\", ..}\n\nevent: progress\nid: 0c1d2e3f4a5b6c7d\ndata: {\"id\": \"019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40\", \"attempt\": 1, \"progress\": 0.5}\n\n"),
        (status = 204, description = "The client knows the end of the task already"),
    )
)]
pub(crate) async fn task_events(
    State(state): State<AppState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let task = caller.visible(state.reads.get(id).await?).ok_or_else(|| unknown(id))?;
    let shown = Shown::of(&task);
    let is_final = task.status.is_final();
    let (event_id, data) = told(task);
    let is_known = headers.get(LAST_EVENT_ID).is_some_and(|known| known.as_bytes() == event_id.as_bytes());
    if is_final && is_known {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let watch = if is_final { None } else { state.waits.watch(id, Question::State) };
    let retry = if is_final || watch.is_some() { RETRY } else { RETRY_WHEN_FULL };
    // Jittered: the clients of a server that stops come back one by one.
    let hint = Event::default().retry(jittered(retry));
    let first = if is_known { hint.comment("nothing new") } else { hint.event("status").id(event_id).data(data) };
    let follower = Follower { state, id, shown, watch, first: Some(first), ends: Instant::now() + jittered(LONGEST) };
    let events = stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(([BUFFERING], Sse::new(Box::pin(events)).keep_alive(keep_alive)).into_response())
}

/// One client's view of a task.
struct Follower {
    state: AppState,
    id: TaskId,
    shown: Shown,
    /// None: the stream ends.
    watch: Option<Watch>,
    first: Option<Event>,
    ends: Instant,
}

/// What the client was told, as far as it matters for what it is told next.
struct Shown {
    state: (Status, i16, bool),
    progress: Option<String>,
}

impl Shown {
    fn of(task: &Task) -> Self {
        let progress = task.progress.as_ref().map(|progress| progress.get().to_owned());
        Self { state: (task.status, task.attempt, task.cancel_requested), progress }
    }
}

impl Follower {
    /// The next event; none: the stream ends.
    async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match time::timeout_at(self.ends, self.watch.as_ref()?.news()).await {
                Ok(News::Changed) => {}
                Ok(News::Closing) | Err(_) => return None,
            }
            let task = self.read().await?;
            if let Some(event) = self.news_of(task) {
                return Some(event);
            }
        }
    }

    /// Reads the task, again and again while Postgres is away. None: the stream ends.
    async fn read(&self) -> Option<Task> {
        let mut backoff = Backoff::default();
        while Instant::now() < self.ends {
            match self.state.reads.get(self.id).await {
                Ok(task) => return task,
                Err(_) => tokio::select! {
                    () = backoff.wait() => {}
                    () = self.state.waits.closed() => return None,
                },
            }
        }
        None
    }

    /// What the client is to be told. (Nothing, if what happened was undone, or told already.)
    fn news_of(&mut self, task: Task) -> Option<Event> {
        let before = std::mem::replace(&mut self.shown, Shown::of(&task));
        if task.status.is_final() {
            self.watch = None;
        }
        if self.shown.state != before.state {
            let (event_id, data) = told(task);
            return Some(Event::default().event("status").id(event_id).data(data));
        }
        if self.shown.progress == before.progress {
            return None;
        }
        let progress = Progress { id: task.id, attempt: task.attempt, progress: task.progress.clone()? };
        let (event_id, _) = told(task);
        Some(Event::default().event("progress").id(event_id).data(on_one_line(reply::to_vec(&progress))))
    }
}

/// The id of an event, which stands for all that is shown of the task, and the data of `status`.
fn told(task: Task) -> (String, String) {
    let body = reply::to_vec(&TaskView::from(task));
    let tag = etag::of(&body);
    (tag.to_str().unwrap_or_default().trim_matches('"').to_owned(), on_one_line(body))
}

/// JSON has line breaks between its tokens only, where a space means the same; few clients read events of several lines right.
fn on_one_line(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("JSON is UTF-8").replace(['\n', '\r'], " ")
}
