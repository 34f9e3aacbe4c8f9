//! Answers as JSON, and what clients are told when Postgres or the submitter fail.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    problem::{Kind, Problem},
    store::Unavailable,
    submitter::SubmitError,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    bytes(status, to_vec(value))
}

/// A JSON answer that is written already.
pub(crate) fn bytes(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// Writes JSON.
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("views hold nothing that JSON lacks: text keys only, numbers and times")
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        let kind = match error {
            Unavailable::Away => Kind::DatabaseUnavailable,
            Unavailable::Unknown => Kind::OutcomeUnknown,
        };
        Self::new(kind, kind.meaning())
    }
}

impl From<Unavailable> for SubmitError {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Away => Self::NotStored,
            Unavailable::Unknown => Self::Unknown,
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let kind = match error {
            SubmitError::Full => Kind::Busy,
            SubmitError::Stopping => Kind::Stopping,
            SubmitError::NotStored => Kind::DatabaseUnavailable,
            SubmitError::Unknown => Kind::OutcomeUnknown,
        };
        Self::new(kind, kind.meaning())
    }
}
