//! Receivers that do not answer, or not properly.

use queue::{Status, cancel::Cancelled};
use serde_json::json;

use super::{
    Setup,
    receiver::{Got, Receiver, Rude, Then},
};
use crate::support::eventually;

async fn meets(words: &'static str, then: Then) -> String {
    let rude = Rude::start(words, then).await;
    let setup = Setup::kind(&format!("url = \"{}\"\ntimeout = \"300ms\"\nresponse_limit = 10", rude.url())).await;
    setup.retries("1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_timeout() {
    assert_eq!(meets("", Then::Wait).await, "timed out: no answer within 300ms");
    assert_eq!(meets("HTTP/1.1 200 OK\r\nx: y\r\n", Then::Wait).await, "timed out: no answer within 300ms");
    let error = meets("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", Then::Wait).await;
    assert_eq!(error, "timed out: the answer's body did not end in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_tried_again() {
    assert!(meets("", Then::HangUp).await.contains("connection closed before message completed"));
    let error = meets("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", Then::HangUp).await;
    assert!(error.starts_with("the answer broke off: "), "{error}");
    let error = meets("SSH-2.0-OpenSSH_9.2\r\n", Then::HangUp).await;
    assert!(error.contains("invalid HTTP version parsed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_counts_whatever_becomes_of_its_body() {
    let error = meets("HTTP/1.1 503 Busy\r\ncontent-length: 9\r\n\r\nabc", Then::Wait).await;
    assert_eq!(error, "HTTP 503 Service Unavailable");
    let error = meets("HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n", Then::Repeat("3\r\nabc\r\n")).await;
    assert!(error.starts_with("HTTP 503 Service Unavailable: abcabc") && error.len() < 600, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_tried_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let setup = Setup::kind(&format!("url = \"http://{free}/\"")).await;
    let id = setup.submit("1").await;
    let task = setup.queue.reaches(id, Status::Failed).await;
    assert_eq!(task.attempt, 5);
    let error = task.error.expect("a reason");
    assert!(error.contains("Connection refused") && !error.contains("127.0.0.1"), "{error}");
    let setup = Setup::kind("url = \"http://no-such-host.invalid/\"\ntimeout = \"2s\"").await;
    let task = setup.run("1", Status::Failed).await;
    let error = task.error.expect("a reason");
    assert_eq!(task.attempt, 5);
    assert!(error.starts_with("dns error: ") || error.starts_with("timed out: "), "a resolver may be slow: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_cut_and_the_task_is_done() {
    let receiver = Receiver::start(|_, got: &Got| match got.uri.path() {
        "/fits" => "0123456789",
        _ => "012345678\u{e4}",
    })
    .await;
    for (path, result) in [
        ("/fits", json!({"status": 200, "body": "0123456789"})),
        ("/over", json!({"status": 200, "body": "012345678", "truncated": true})),
    ] {
        let setup = Setup::kind(&format!("url = \"{}\"\nresponse_limit = 10", receiver.url(path))).await;
        assert_eq!(setup.result("1").await, result);
    }
    let endless = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let rude = Rude::start(endless, Then::Repeat("4\r\n[[[[\r\n")).await;
    let setup = Setup::kind(&format!("url = \"{}\"\nresponse_limit = 10", rude.url())).await;
    assert_eq!(setup.result("1").await, json!({"status": 200, "body": "[[[[[[[[[[", "truncated": true}));
    eventually("it is not listened to any more", async || (rude.closed() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_lets_go_of_its_receiver() {
    let rude = Rude::start("", Then::Wait).await;
    let setup = Setup::kind(&format!("url = \"{}\"", rude.url())).await;
    let id = setup.submit("1").await;
    setup.queue.reaches(id, Status::Processing).await;
    assert!(matches!(setup.queue.cancel(id).await, Cancelled::Asked(_)));
    setup.queue.reaches(id, Status::Cancelled).await;
    eventually("the connection is closed", async || (rude.closed() == 1).then_some(())).await;
}
