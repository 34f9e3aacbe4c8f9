//! Ids and names out of paths.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use queue::{TaskId, task::Name};
use uuid::Uuid;

use crate::problem::{Kind, Problem};

/// `/tasks/{id}`. What is no UUID names no task: 404.
pub(crate) struct TaskPath(pub(crate) TaskId);

/// `/problems/{slug}`.
pub(crate) struct SlugPath(pub(crate) String);

/// `/queues/{name}`. What is no name names no queue: 404.
pub(crate) struct QueuePath(pub(crate) Name);

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = segment(parts, state).await?;
        match Uuid::try_parse(&text) {
            Ok(id) => Ok(Self(TaskId::from_uuid(id))),
            Err(_) => Err(Problem::new(Kind::TaskNotFound, "the id in the path is no UUID")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SlugPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segment(parts, state).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueuePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = segment(parts, state).await?;
        Name::new(text).map(Self).map_err(|error| Problem::new(Kind::NotFound, error.to_string()))
    }
}

async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    match Path::<String>::from_request_parts(parts, state).await {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(Problem::new(Kind::MalformedRequest, "the path is not UTF-8")),
    }
}

/// No such task.
pub(crate) fn unknown(id: TaskId) -> Problem {
    Problem::new(Kind::TaskNotFound, format!("there is no task {id}")).with("id", id.to_string())
}
