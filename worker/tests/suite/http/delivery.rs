//! What a receiver gets, and what becomes of what it answers.

use axum::{Json, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};

use super::{
    KIND, Setup,
    receiver::{Got, Receiver},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_payload_is_posted_byte_for_byte_and_the_answer_is_the_result() {
    let receiver = Receiver::start(|_, _: &Got| (StatusCode::CREATED, Json(json!({"order": 7})))).await;
    let kind = format!("url = \"{}\"\nheaders = {{ X-Team = \"orders\" }}", receiver.url("/hooks?a=b%20c"));
    let setup = Setup::kind(&kind).await;
    let payload = r#"{"b": 1.00,  "a": ["\u00e4"]}"#;
    assert_eq!(setup.result(payload).await, json!({"status": 201, "body": {"order": 7}}));
    let got = receiver.only();
    assert_eq!((got.method.as_str(), got.uri.to_string().as_str()), ("POST", "/hooks?a=b%20c"));
    assert_eq!(got.body, payload);
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("content-length"), Some(payload.len().to_string().as_str()));
    assert_eq!(got.header("host"), Some(receiver.address.to_string().as_str()));
    assert_eq!(got.header("x-team"), Some("orders"));
    assert_eq!(got.header("user-agent"), Some(concat!("Taskrow/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(setup.worker.metric("taskrow_worker_finished_tasks_total"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_as_json_or_as_text_or_as_nothing() {
    let receiver = Receiver::start(|_, got: &Got| match got.uri.path() {
        "/text" => "[1]".into_response(),
        "/nothing" => StatusCode::NO_CONTENT.into_response(),
        "/problem" => ([("content-type", "application/problem+json")], "[1]").into_response(),
        "/broken" => ([("content-type", "application/json")], "[1").into_response(),
        "/binary" => [0x61_u8, 0xff, 0x00, 0x62].into_response(),
        path => panic!("{path}"),
    })
    .await;
    let setup = Setup::kind(&format!("allow = [\"{}\"]\nallow_private = true", receiver.url(""))).await;
    for (path, body) in [
        ("/text", json!("[1]")),
        ("/nothing", Value::Null),
        ("/problem", json!([1])),
        ("/broken", json!("[1")),
        ("/binary", json!("a\u{fffd}\u{fffd}b")),
    ] {
        let result = setup.result(&json!({"url": receiver.url(path)}).to_string()).await;
        assert_eq!(result["body"], body, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_names_url_and_body_where_the_operator_lets_it() {
    let receiver = Receiver::start(|_, _: &Got| "ok").await;
    let setup = Setup::kind(&format!("allow = [\"{}\"]\nallow_private = true", receiver.url("/hooks/*"))).await;
    let (in_hooks, outside) = (receiver.url("/hooks/7"), receiver.url("/admin"));
    setup.result(&format!(r#"{{"url": "{in_hooks}", "body": [1.0,  2]}}"#)).await;
    assert_eq!(receiver.only().body, "[1.0,  2]");
    setup.result(&format!(r#"{{"url": "{in_hooks}"}}"#)).await;
    assert_eq!((&receiver.got()[1].body[..], receiver.got()[1].header("content-type")), (&b""[..], None));
    for (payload, reason) in [
        (format!(r#"{{"url": "{outside}"}}"#), "payload: url: is not one that the operator allows"),
        (r#"{"url": "nonsense"}"#.to_owned(), "payload: url: relative URL without a base"),
        (r#"{"url": "file:///etc/passwd"}"#.to_owned(), "payload: url: is not one"),
        (r#"{"body": 1}"#.to_owned(), "payload: missing field `url`"),
        (format!(r#"{{"url": "{in_hooks}", "headers": {{}}}}"#), "payload: unknown field `headers`"),
        ("7".to_owned(), "payload: invalid type"),
    ] {
        let error = setup.fails_at_once(&payload).await;
        assert!(error.starts_with(reason), "{payload}: {error}");
    }
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_used_as_configured() {
    for (method, body) in [("PUT", "[1]"), ("PATCH", "[1]"), ("DELETE", "[1]"), ("GET", "")] {
        let receiver = Receiver::start(|_, _: &Got| "ok").await;
        let setup = Setup::kind(&format!("url = \"{}\"\nmethod = \"{method}\"", receiver.url("/"))).await;
        setup.result("[1]").await;
        let got = receiver.only();
        assert_eq!((got.method.as_str(), &got.body[..]), (method, body.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again() {
    let receiver = Receiver::start(|_, _: &Got| "ok").await;
    let setup = Setup::kind(&format!("url = \"{}\"", receiver.url("/"))).await;
    for _ in 0..5 {
        setup.result("1").await;
    }
    let got = receiver.got();
    assert!(got.iter().all(|request| request.from == got[0].from), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_the_operators_own_replaces_json() {
    let receiver = Receiver::start(|_, _: &Got| "ok").await;
    let headers = "headers = { Content-Type = \"application/cloudevents+json\" }";
    let setup = Setup::kind(&format!("url = \"{}\"\n{headers}", receiver.url("/"))).await;
    assert_eq!(KIND, setup.run("{}", queue::Status::Done).await.kind);
    let got = receiver.only();
    assert_eq!(got.headers.get_all("content-type").iter().collect::<Vec<_>>(), ["application/cloudevents+json"]);
}
