//! The errors, one `type` each.

use axum::http::StatusCode;

/// Which error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained in the table below, in the words that clients get")]
pub enum Kind {
    MalformedJson,
    MalformedRequest,
    InvalidHeader,
    Unauthorized,
    Forbidden,
    NotFound,
    TaskNotFound,
    MethodNotAllowed,
    RequestTimeout,
    TaskFinal,
    TaskNotRetryable,
    UniqueKeyHeld,
    KeyInUse,
    PayloadTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    UnstorablePayload,
    InvalidOption,
    InvalidBatch,
    IdempotencyKeyReused,
    RateLimited,
    QueueFull,
    Internal,
    DatabaseUnavailable,
    OutcomeUnknown,
    Busy,
    Stopping,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::MalformedJson,
        Self::MalformedRequest,
        Self::InvalidHeader,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::TaskNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::TaskFinal,
        Self::TaskNotRetryable,
        Self::UniqueKeyHeld,
        Self::KeyInUse,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::UnstorablePayload,
        Self::InvalidOption,
        Self::InvalidBatch,
        Self::IdempotencyKeyReused,
        Self::RateLimited,
        Self::QueueFull,
        Self::Internal,
        Self::DatabaseUnavailable,
        Self::OutcomeUnknown,
        Self::Busy,
        Self::Stopping,
    ];

    /// Status, title, and what a client can do about it.
    #[rustfmt::skip]
    const fn row(self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Self::MalformedJson => (400, "malformed-json", "Malformed JSON", "The body is not JSON."),
            Self::MalformedRequest => (400, "malformed-request", "Malformed request", "The body could not be received, or the path is not valid."),
            Self::InvalidHeader => (400, "invalid-header", "Invalid header", "A header has a bad value or was given twice; `header` names it."),
            Self::Unauthorized => (401, "unauthorized", "Unauthorized", "This server asks for an API token, and the request has none that it knows. Send `Authorization: Bearer <token>`; the operator gives out tokens."),
            Self::Forbidden => (403, "forbidden", "Forbidden", "The token is known, and may not do this: it lacks the scope that `scope` names, or does not reach the queue that `queue` names."),
            Self::NotFound => (404, "not-found", "Not found", "There is no such path. /docs lists those that exist."),
            Self::TaskNotFound => (404, "task-not-found", "Task not found", "No task has this id: it never existed, retention removed it, or it is in a queue that the token does not reach."),
            Self::MethodNotAllowed => (405, "method-not-allowed", "Method not allowed", "The path exists, the method does not; Allow lists those that do."),
            Self::RequestTimeout => (408, "request-timeout", "Request timeout", "The body did not arrive in time. Nothing was done."),
            Self::TaskFinal => (409, "task-final", "Task has ended", "The task has ended, so it cannot be cancelled."),
            Self::TaskNotRetryable => (409, "task-not-retryable", "Task cannot be retried", "Only a failed or cancelled task can be queued again."),
            Self::UniqueKeyHeld => (409, "unique-key-held", "Unique key is held", "Another open task holds the unique key of this one; `held_by` names it."),
            Self::KeyInUse => (409, "key-in-use", "Key is in use", "Another request with this key is being stored. Nothing was done; try again, to get its answer."),
            Self::PayloadTooLarge => (413, "payload-too-large", "Payload too large", "The body is over the limit, which `limit_bytes` names."),
            Self::UriTooLong => (414, "uri-too-long", "URI too long", "The path with its query is over the limit."),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Unsupported media type", "Send JSON, with a content type that says so."),
            Self::UnstorablePayload => (422, "unstorable-payload", "Payload cannot be stored", "The body is JSON that Postgres cannot hold: nested too deep, a NUL character, half of a surrogate pair, or a number out of range."),
            Self::InvalidOption => (422, "invalid-option", "Invalid option", "An option is unknown, given twice, or has a bad value; `option` names it."),
            Self::InvalidBatch => (422, "invalid-batch", "Invalid batch", "Nothing of the batch was stored. `errors` lists the index and the reason of each bad item, up to a hundred."),
            Self::IdempotencyKeyReused => (422, "idempotency-key-reused", "Idempotency key was used for another request", "This Idempotency-Key came with another body or other options before. A new request needs a new key."),
            Self::RateLimited => (429, "rate-limited", "Too many requests", "More requests than this client is allowed in a time. Nothing was done; try again when `Retry-After` says."),
            Self::QueueFull => (429, "queue-full", "Queue is full", "As much waits in the queue as its limits allow. Nothing was done; try again later."),
            Self::Internal => (500, "internal", "Internal error", "A bug. The server's log has the details."),
            Self::DatabaseUnavailable => (503, "database-unavailable", "Database unavailable", "Postgres did not answer in time. Nothing was done; try again."),
            Self::OutcomeUnknown => (503, "outcome-unknown", "Outcome unknown", "Postgres did not answer in time. It may have been done, or be done later; trying again may do it twice, unless the request has an Idempotency-Key."),
            Self::Busy => (503, "busy", "Busy", "More is coming in than can be stored. Nothing was done; try again."),
            Self::Stopping => (503, "stopping", "Stopping", "This server is stopping. Nothing was done; try again and another one answers."),
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The last part of the `type`.
    pub const fn slug(self) -> &'static str {
        self.row().1
    }

    /// The `type`.
    pub fn path(self) -> String {
        format!("/problems/{}", self.slug())
    }

    /// The error in a few words.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// What it means to a client.
    pub const fn meaning(self) -> &'static str {
        self.row().3
    }

    /// When to come back, in seconds.
    pub(super) const fn retry_after_s(self) -> Option<u16> {
        match self {
            Self::DatabaseUnavailable | Self::OutcomeUnknown => Some(2),
            Self::QueueFull => Some(5),
            Self::Busy | Self::Stopping | Self::KeyInUse | Self::RateLimited => Some(1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_error_has_a_type_of_its_own() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| kind.status().is_client_error() || kind.status().is_server_error()));
        let passes = |kind: &Kind| {
            matches!(kind.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
                || *kind == Kind::KeyInUse
        };
        assert!(Kind::ALL.iter().all(|kind| passes(kind) == kind.retry_after_s().is_some()));
    }
}
