//! What a receiver can know a task by that it gets twice.

use axum::http::StatusCode;
use queue::Status;

use super::{Setup, receiver::Receiver};

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_carries_the_same_identity_and_its_own_number() {
    let receiver = Receiver::once(|| axum::response::IntoResponse::into_response(StatusCode::BAD_GATEWAY)).await;
    let setup = Setup::kind(&format!("url = \"{}\"", receiver.url("/"))).await;
    let id = setup.run("1", Status::Done).await.id.to_string();
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    for (request, attempt) in got.iter().zip(["1", "2"]) {
        assert_eq!(request.header("taskrow-task-id"), Some(id.as_str()));
        assert_eq!(request.header("webhook-id"), Some(id.as_str()));
        assert_eq!(request.header("idempotency-key"), Some(format!("\"{id}\"").as_str()));
        assert_eq!(request.header("taskrow-attempt"), Some(attempt));
        assert_eq!(request.header("webhook-signature"), None, "no key, no signature");
        let trace = request.header("traceparent").expect("a trace");
        assert!(trace.starts_with(&format!("00-{}-", id.replace('-', ""))) && trace.ends_with("-01"), "{trace}");
    }
    assert_ne!(got[0].header("traceparent"), got[1].header("traceparent"), "each attempt is a span of its own");
}
