//! Redirects, where the operator has them followed.

use axum::{http::StatusCode, response::IntoResponse};
use queue::Status;
use serde_json::json;

use super::{
    Setup,
    receiver::{Got, Receiver},
};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn lines(url: &str, rest: &str) -> String {
    format!(
        "url = \"{url}\"\nheaders = {{ X-Team = \"orders\" }}\nsecret_headers = {{ Authorization = \"DIR/token\" }}\n\
         signing_keys = [\"DIR/key\"]\n{rest}"
    )
}

async fn setup(url: &str, rest: &str) -> Setup {
    Setup::kind_and(&lines(url, rest), &[("token", "Bearer 0123456789"), ("key", KEY)]).await
}

fn to(status: StatusCode, location: &str) -> axum::response::Response {
    (status, [("location", location.to_owned())]).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn within_its_origin_a_request_is_sent_on_as_it_is() {
    let receiver = Receiver::start(|_, got: &Got| match got.uri.path() {
        "/" => to(StatusCode::PERMANENT_REDIRECT, "/second"),
        "/second" => to(StatusCode::TEMPORARY_REDIRECT, "third"),
        _ => "there".into_response(),
    })
    .await;
    let setup = setup(&receiver.url("/"), "redirects = 2").await;
    assert_eq!(setup.result("[1]").await, json!({"status": 200, "body": "there"}));
    for got in receiver.got() {
        assert_eq!((got.method.as_str(), &got.body[..]), ("POST", &b"[1]"[..]));
        assert_eq!(got.header("authorization"), Some("Bearer 0123456789"));
        assert!(got.header("webhook-signature").is_some());
    }
    assert_eq!(receiver.got().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_origin_gets_no_secret_and_no_signature() {
    let other = Receiver::start(|_, _: &Got| "there").await;
    let location = other.url("/x");
    let receiver = Receiver::start(move |_, _: &Got| to(StatusCode::TEMPORARY_REDIRECT, &location)).await;
    let setup = setup(&receiver.url("/"), "redirects = 1\nallow_private = true").await;
    let id = setup.run("[1]", Status::Done).await.id.to_string();
    assert!(receiver.only().header("authorization").is_some());
    let got = other.only();
    assert_eq!((got.method.as_str(), &got.body[..]), ("POST", &b"[1]"[..]));
    assert_eq!(got.header("taskrow-task-id"), Some(id.as_str()));
    for name in ["authorization", "x-team", "webhook-signature", "webhook-timestamp"] {
        assert_eq!(got.header(name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_too_many_or_that_would_lose_the_body_is_not_followed() {
    let circle = Receiver::start(|_, _: &Got| to(StatusCode::TEMPORARY_REDIRECT, "/")).await;
    for (redirects, requests) in [(0, 1), (3, 5)] {
        let setup = setup(&circle.url("/"), &format!("redirects = {redirects}")).await;
        let error = setup.fails_at_once("1").await;
        assert_eq!(error, "HTTP 307 Temporary Redirect: a redirect that is not followed");
        assert_eq!(circle.got().len(), requests, "one more than the redirects, each time");
    }
    let found = Receiver::start(|_, _: &Got| to(StatusCode::FOUND, "/login")).await;
    let setup = setup(&found.url("/"), "redirects = 3").await;
    assert!(setup.fails_at_once("1").await.starts_with("HTTP 302 Found: a redirect that is not followed"));
    assert_eq!(found.got().len(), 1);
}
