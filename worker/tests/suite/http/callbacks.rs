//! The kind by which the queue tells clients of outcomes.

use axum::{http::StatusCode, response::IntoResponse};
use queue::{Status, inspect};
use standardwebhooks::Webhook;

use super::{
    Setup,
    receiver::{Got, Receiver},
};
use crate::support::queue::task;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const EVENT: &str =
    r#"{"type": "task.done",  "timestamp": "2026-11-23T03:00:00Z", "data": {"id": "x", "result": 1.00}}"#;

async fn call_back(setup: &Setup, url: &str, end: Status) -> inspect::Task {
    let payload = format!(r#"{{"url": "{url}", "event": {EVENT}, "of_a_later_release": 1}}"#);
    let id = setup.queue.submit_one(task("taskrow.callback", &payload)).await;
    setup.queue.reaches(id, end).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_signed_until_it_is_taken() {
    let receiver = Receiver::once(|| (StatusCode::INTERNAL_SERVER_ERROR, "not now").into_response()).await;
    let file = format!(
        "[callbacks]\nallow = [\"{}\"]\nallow_private = true\ntimeout = \"9s\"\nsigning_keys = [\"DIR/key\"]",
        receiver.url("/hooks/*")
    );
    let setup = Setup::file(&file, &[("key", KEY)]).await;
    let done = call_back(&setup, &receiver.url("/hooks/7"), Status::Done).await;
    assert_eq!(done.attempt, 2);
    assert_eq!(receiver.got().len(), 2);
    for (got, attempt) in receiver.got().iter().zip(["1", "2"]) {
        assert_eq!((got.method.as_str(), got.uri.path(), &got.body[..]), ("POST", "/hooks/7", EVENT.as_bytes()));
        assert_eq!(got.header("webhook-id"), Some(done.id.to_string().as_str()));
        assert_eq!(got.header("taskrow-attempt"), Some(attempt));
        assert!(Webhook::new(KEY).expect("a secret").verify(&got.body, &got.headers).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_nowhere_but_where_the_operator_allows() {
    let receiver = Receiver::start(|_, _: &Got| StatusCode::GONE).await;
    let setup = Setup::file(&format!("[callbacks]\nallow = [\"{}\"]", receiver.url("/hooks/*")), &[]).await;
    let error = call_back(&setup, &receiver.url("/admin"), Status::Failed).await.error.expect("a reason");
    assert_eq!(error, "payload: url: is not one that the operator allows");
    let error = call_back(&setup, &receiver.url("/hooks/7"), Status::Failed).await.error.expect("a reason");
    assert!(error.starts_with("the target's address is private"), "{error}");
    assert_eq!(receiver.got().len(), 0);

    let file = format!("[callbacks]\nallow = [\"{}\"]\nallow_private = true", receiver.url("/hooks/*"));
    let open = Setup::file(&file, &[]).await;
    let refused = call_back(&open, &receiver.url("/hooks/7"), Status::Failed).await;
    assert_eq!((refused.attempt, refused.error.as_deref()), (1, Some("HTTP 410 Gone")));
}
