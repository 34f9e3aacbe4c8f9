//! POST /tasks/{id}/retry

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use queue::{
    Status, TaskId,
    retry::{Retried, retry},
    task::Name,
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

/// A task that waits again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Requeued {
    /// The task.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// `queued`.
    #[schema(value_type = StatusName)]
    status: Status,
}

/// Queue a failed or cancelled task again
///
/// Its outcome is removed, and it has all its attempts again. One that was submitted with a unique key needs it back: refused while another
/// open task holds it.
#[utoipa::path(
    post,
    path = "/tasks/{id}/retry",
    tag = "tasks",
    operation_id = "retryTask",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses((status = 200, description = "It waits again", body = Requeued))
)]
pub(crate) async fn retry_task(
    State(state): State<AppState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    caller.check_task(id, &state.reads).await?;
    let notifier = state.notifier.clone();
    let retried = state.store.run(
        move |connection| Box::pin(retry(connection, id)),
        move |retried| {
            if let Retried::Queued(queue) = retried
                && let Ok(queue) = Name::new(queue.as_str())
            {
                notifier.tell(Hint::Work(queue));
            }
        },
    );
    match retried.await? {
        Retried::Queued(_) => Ok(reply::json(StatusCode::OK, &Requeued { id, status: Status::Queued })),
        Retried::Done => Err(Problem::new(Kind::TaskNotRetryable, "the task is done")),
        Retried::Open => Err(Problem::new(Kind::TaskNotRetryable, "the task has not ended")),
        Retried::KeyHeld(holder) => Err(Problem::new(
            Kind::UniqueKeyHeld,
            format!("task {holder} holds the unique key of this one, and has not ended"),
        )
        .with("held_by", holder.to_string())),
        Retried::NotFound => Err(unknown(id)),
    }
}
