//! GET /tasks

use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use queue::{
    Status, TaskId,
    inspect::{self, Filter, PAGE_LIMIT, Task},
    task::Name,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    reply,
    task::{StatusName, TaskView},
};
use crate::{access::Caller, problem::Problem, query::Query, shapes, state::AppState};

/// Tasks on a page of a client that does not say.
const DEFAULT_LIMIT: usize = 50;
/// Payloads and results on one page, in bytes: a page ends early, rather than being as large as 500 large tasks.
const PAGE_BYTES: usize = 8 << 20;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `filter` reads")]
pub(crate) struct ListParams {
    /// Only tasks in this state.
    #[param(required = false, inline)]
    status: StatusName,
    /// Only tasks of this queue.
    #[param(required = false)]
    queue: shapes::Name,
    /// Only tasks of this kind.
    #[param(required = false)]
    kind: shapes::Name,
    /// Most tasks on the page.
    #[param(required = false, default = 50, minimum = 1, maximum = 500)]
    limit: usize,
    /// Where the page starts: the `next_cursor` of the one before.
    #[param(required = false)]
    cursor: Uuid,
}

/// A page of tasks.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskPage {
    /// Newest first.
    tasks: Vec<TaskView>,
    /// The `cursor` of the next page; null: this is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List tasks, newest first
///
/// Follow `next_cursor`, or the `Link` header with `rel="next"`, until there is none. A page looks at a bounded number of rows, so
/// with a filter that few tasks match it may be short, or empty, and still have a next one. The pages are no snapshot: a
/// task that changes its state meanwhile may be missed by, or stay in, a listing filtered by state.
#[utoipa::path(
    get,
    path = "/tasks",
    tag = "tasks",
    operation_id = "listTasks",
    params(ListParams),
    responses((
        status = 200,
        description = "A page",
        body = TaskPage,
        headers(("Link" = Option<String>, description = "The next page, with `rel=\"next\"`"))
    ))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["status", "queue", "kind", "limit", "cursor"])?;
    let filter = Filter { among: caller.queues(), ..filter(&query)? };
    let asked = filter.clone();
    let page = state
        .store
        .read(move |connection| {
            let filter = asked.clone();
            Box::pin(async move { inspect::list(connection, &filter).await })
        })
        .await?;
    let (tasks, next) = fit(page.tasks, page.next, PAGE_BYTES);
    let view =
        TaskPage { tasks: tasks.into_iter().map(TaskView::from).collect(), next_cursor: next.map(|id| id.to_string()) };
    let mut response = reply::json(StatusCode::OK, &view);
    if let Some(next) = next {
        response.headers_mut().insert(header::LINK, link(&filter, next));
    }
    Ok(response)
}

fn filter(query: &Query<'_>) -> Result<Filter, Problem> {
    const STATES: &str = "must be queued, scheduled, processing, done, failed or cancelled";
    let limit = |text: &str| match text.parse() {
        Ok(limit) if (1..=PAGE_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(format!("must be an integer from 1 to {PAGE_LIMIT}")),
    };
    let cursor = |text: &str| Uuid::try_parse(text).map(TaskId::from_uuid).map_err(|_| "is not one that was given out");
    Ok(Filter {
        queue: query.read("queue", str::parse::<Name>)?,
        kind: query.read("kind", str::parse::<Name>)?,
        status: query.read("status", |text| text.parse::<Status>().map_err(|()| STATES))?,
        before: query.read("cursor", cursor)?,
        limit: query.read("limit", limit)?.unwrap_or(DEFAULT_LIMIT),
        among: None,
    })
}

/// Cuts a page that is too large. At least one task stays, so that every page gets on.
fn fit(mut tasks: Vec<Task>, next: Option<TaskId>, limit: usize) -> (Vec<Task>, Option<TaskId>) {
    let mut bytes = 0;
    let fitting = tasks.iter().take_while(|task| {
        bytes += task.payload.get().len() + task.result.as_ref().map_or(0, |result| result.get().len());
        bytes <= limit
    });
    let fitting = fitting.count().max(1);
    if fitting >= tasks.len() {
        return (tasks, next);
    }
    tasks.truncate(fitting);
    let last = tasks.last().map(|task| task.id);
    (tasks, last)
}

/// The next page's address, filters included.
fn link(filter: &Filter, next: TaskId) -> HeaderValue {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let status = filter.status.map(|status| status.as_str().to_owned());
    let queue = filter.queue.as_ref().map(ToString::to_string);
    let kind = filter.kind.as_ref().map(ToString::to_string);
    for (name, value) in [("status", status), ("queue", queue), ("kind", kind)] {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.append_pair("limit", &filter.limit.to_string()).append_pair("cursor", &next.to_string());
    let link = format!("</tasks?{}>; rel=\"next\"", query.finish());
    HeaderValue::from_str(&link).expect("percent-encoded text is a header value")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use queue::{BatchId, Json};

    use super::*;

    fn task(bytes: usize) -> Task {
        Task {
            id: BatchId::new().task(0),
            queue: "q".to_owned(),
            kind: "k".to_owned(),
            priority: 0,
            max_attempts: 1,
            timeout_ms: 1,
            created_at: DateTime::UNIX_EPOCH,
            payload: Json::from_value(&"x".repeat(bytes - 2)).unwrap(),
            status: Status::Queued,
            updated_at: DateTime::UNIX_EPOCH,
            attempt: 0,
            run_at: None,
            result: None,
            error: None,
            worker: None,
            progress: None,
            cancel_requested: false,
        }
    }

    #[test]
    fn a_page_that_is_too_large_ends_early_and_goes_on_where_it_ended() {
        let tasks = [task(10), task(10), task(10)];
        let second = tasks[1].id;
        for (limit, kept, next) in
            [(100, 3, None), (29, 2, Some(second)), (20, 2, Some(second)), (1, 1, Some(tasks[0].id))]
        {
            let (fitting, cursor) = fit(tasks.to_vec(), None, limit);
            assert_eq!((fitting.len(), cursor), (kept, next), "{limit}");
        }
        assert_eq!(fit(Vec::new(), Some(second), 1).1, Some(second));
    }

    #[test]
    fn the_next_page_keeps_the_filters() {
        let query = Query::parse(Some("queue=a/b:c&status=done&limit=7"), &["queue", "status", "limit"]).unwrap();
        let id = TaskId::from_uuid(Uuid::nil());
        let expected =
            "</tasks?status=done&queue=a%2Fb%3Ac&limit=7&cursor=00000000-0000-0000-0000-000000000000>; rel=\"next\"";
        assert_eq!(link(&filter(&query).unwrap(), id), expected);
    }
}
