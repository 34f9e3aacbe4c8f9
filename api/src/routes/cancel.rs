//! DELETE /tasks/{id} and POST /tasks/{id}/cancel: the same under two names.

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use queue::{
    Status, TaskId,
    cancel::{Cancelled, cancel},
    wakeup::Hint,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    path::{TaskPath, unknown},
    reply,
    task::StatusName,
};
use crate::{
    access::Caller,
    problem::{Kind, Problem},
    query::Query,
    state::AppState,
};

/// What became of the task.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cancellation {
    /// The task.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// `cancelled`, or `processing` while its worker is yet to stop it.
    #[schema(value_type = StatusName)]
    status: Status,
    /// Whether its worker was told to stop it.
    cancel_requested: bool,
}

/// Cancel a task
///
/// As `POST /tasks/{id}/cancel`.
#[utoipa::path(
    delete,
    path = "/tasks/{id}",
    tag = "tasks",
    operation_id = "deleteTask",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses(
        (status = 200, description = "It is cancelled, now or before", body = Cancellation),
        (status = 202, description = "It runs; its worker is told to stop it, and it may still finish first", body = Cancellation),
    )
)]
pub(crate) async fn delete_task(
    State(state): State<AppState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    answer(state, &caller, id, query.as_deref()).await
}

/// Cancel a task
///
/// A task that waits is cancelled at once and will not start. Of a running one the worker is told, which stops its handler.
#[utoipa::path(
    post,
    path = "/tasks/{id}/cancel",
    tag = "tasks",
    operation_id = "cancelTask",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses(
        (status = 200, description = "It is cancelled, now or before", body = Cancellation),
        (status = 202, description = "It runs; its worker is told to stop it, and it may still finish first", body = Cancellation),
    )
)]
pub(crate) async fn cancel_task(
    State(state): State<AppState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    answer(state, &caller, id, query.as_deref()).await
}

async fn answer(state: AppState, caller: &Caller, id: TaskId, query: Option<&str>) -> Result<Response, Problem> {
    Query::parse(query, &[])?;
    caller.check_task(id, &state.reads).await?;
    let notifier = state.notifier.clone();
    let cancelled = state.store.run(
        move |connection| Box::pin(cancel(connection, id)),
        move |cancelled| {
            if let Cancelled::Asked(worker) = *cancelled {
                notifier.tell(Hint::Cancel(worker));
            }
        },
    );
    let (code, status) = match cancelled.await? {
        Cancelled::Now | Cancelled::AlreadyFinal(Status::Cancelled) => (StatusCode::OK, Status::Cancelled),
        Cancelled::Asked(_) => (StatusCode::ACCEPTED, Status::Processing),
        Cancelled::AlreadyFinal(status) => {
            let detail = format!("the task is {} already", status.as_str());
            return Err(Problem::new(Kind::TaskFinal, detail).with("status_of_task", status.as_str()));
        }
        Cancelled::NotFound => return Err(unknown(id)),
        Cancelled::Busy => return Err(Problem::new(Kind::Busy, "the task keeps moving; try again")),
    };
    let cancel_requested = status == Status::Processing;
    Ok(reply::json(code, &Cancellation { id, status, cancel_requested }))
}
