//! GET /problems and GET /problems/{slug}: what the `type` of an error leads to.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{path::SlugPath, reply};
use crate::problem::{Kind, Problem};

/// The errors there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemList {
    /// By status.
    problems: Vec<ProblemType>,
}

/// An error there is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemType {
    /// As in the `type` of an error.
    r#type: String,
    /// As in the `title` of an error.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What it means, and what to do about it.
    meaning: &'static str,
}

impl From<Kind> for ProblemType {
    fn from(kind: Kind) -> Self {
        Self { r#type: kind.path(), title: kind.title(), status: kind.status().as_u16(), meaning: kind.meaning() }
    }
}

/// List the errors there are
#[utoipa::path(
    get,
    path = "/problems",
    tag = "problems",
    operation_id = "listProblems",
    responses((status = 200, description = "The errors", body = ProblemList))
)]
pub(crate) async fn list_problems() -> Response {
    let problems = Kind::ALL.into_iter().map(ProblemType::from).collect();
    reply::json(StatusCode::OK, &ProblemList { problems })
}

/// Explain an error
#[utoipa::path(
    get,
    path = "/problems/{slug}",
    tag = "problems",
    operation_id = "getProblem",
    params(("slug" = String, Path, description = "The last part of the error's `type`")),
    responses((status = 200, description = "The error", body = ProblemType))
)]
pub(crate) async fn get_problem(SlugPath(slug): SlugPath) -> Result<Response, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.slug() == slug);
    let kind = kind.ok_or_else(|| Problem::new(Kind::NotFound, "there is no such error"))?;
    Ok(reply::json(StatusCode::OK, &ProblemType::from(kind)))
}
