//! Headers by which a receiver knows a task again: the same at every attempt, but for the attempt's number and the time.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use queue::TaskId;

use super::signature::SigningKeys;
use crate::Context;

const TASK_ID: HeaderName = HeaderName::from_static("taskrow-task-id");
const ATTEMPT: HeaderName = HeaderName::from_static("taskrow-attempt");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Puts the task's identity into a request's headers.
pub(super) fn add_to(headers: &mut HeaderMap, task: &Context) {
    let id = task.id().to_string();
    headers.insert(IDEMPOTENCY_KEY, value(format!("\"{id}\"")));
    headers.insert(WEBHOOK_ID, value(id.clone()));
    headers.insert(TASK_ID, value(id));
    headers.insert(ATTEMPT, task.attempt().into());
    headers.insert(TRACEPARENT, value(traceparent(task.id(), task.attempt())));
}

/// Puts the time and the signatures of what is sent at that time (in seconds since 1970) into a request's headers.
pub(super) fn sign(headers: &mut HeaderMap, keys: &SigningKeys, task: &Context, timestamp: u64, body: &[u8]) {
    headers.insert(WEBHOOK_TIMESTAMP, timestamp.into());
    if let Some(signature) = keys.sign(&task.id().to_string(), timestamp, body) {
        headers.insert(WEBHOOK_SIGNATURE, signature);
    }
}

/// A W3C trace context that needs no memory: the trace is the task's id, and each attempt is a span of it. Sampled, for a receiver
/// whose sampler asks its parent would otherwise record nothing.
fn traceparent(id: TaskId, attempt: i16) -> String {
    let trace = id.uuid().as_u128();
    // A UUID's lower half starts with its variant, 10 in binary, so this is never zero, which would be no span.
    let span = (trace as u64) ^ u64::from(attempt.unsigned_abs());
    format!("00-{trace:032x}-{span:016x}-01")
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("ids and numbers fit into a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_trace_and_an_attempt_a_span() {
        let id = TaskId::from_uuid(uuid::uuid!("0190a0b1-c2d3-7e4f-8a5b-6c7d8e9fa0b1"));
        assert_eq!(traceparent(id, 1), "00-0190a0b1c2d37e4f8a5b6c7d8e9fa0b1-8a5b6c7d8e9fa0b0-01");
        assert_eq!(traceparent(id, 2), "00-0190a0b1c2d37e4f8a5b6c7d8e9fa0b1-8a5b6c7d8e9fa0b3-01");
    }
}
