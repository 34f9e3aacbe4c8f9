//! Every error a client can see, as RFC 9457 `application/problem+json`.
//!
//! Two layers: code below the routes has errors of its own, which keep their sources (`submitter::SubmitError`,
//! `store::Unavailable`, `options::BadOption`, ..); here they become what a client is told. The detail of a 5xx is logged where
//! it is turned into a problem and is not sent.
//!
//! `type` is `/problems/{slug}`, relative to the API; `GET /problems/{slug}` explains it.

mod kind;

use std::time::Duration;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use self::kind::Kind;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error on its way to a client.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    members: Map<String, Value>,
    /// Instead of what its kind says.
    retry_after_s: Option<u64>,
}

/// An error, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    /// Which error this is; a relative reference that explains it.
    #[schema(example = "/problems/invalid-option")]
    r#type: String,
    /// The error in a few words, the same each time.
    #[schema(example = "Invalid option")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What happened this time.
    #[schema(example = "priority: must be an integer from -100 to 100")]
    detail: &'a str,
    /// More about it, such as `option` or `errors`.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// An error with what happened this time, in words for the client.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), retry_after_s: None }
    }

    /// Adds an extension member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to come back: not before this has passed, in whole seconds.
    #[must_use]
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after_s = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        self
    }

    /// Which error it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let body = Body {
            r#type: self.kind.path(),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: &self.detail,
            members: &self.members,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after_s.or(self.kind.retry_after_s().map(u64::from)) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
