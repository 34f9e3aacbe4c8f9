//! The heads of requests: too large, too many headers, too slow, or none at all.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time};

use super::{exchange::exchange, impatient};
use crate::support::{App, eventually};

/// Sends until a refusal comes through: when a server closes a connection with bytes unread, the peer may lose the answer.
async fn refused(app: &App, request: &str, status: u16) {
    eventually(&format!("{request:.100}: {status}"), || async {
        let replies = exchange(app.address, request.as_bytes()).await;
        for reply in &replies {
            assert_eq!(reply.status, status, "{request:.100}: {reply:?}");
            reply.check().unwrap();
        }
        !replies.is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let app = impatient().await;
    for garbage in [
        "hello\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
        "GET / HTTP/1.1\r\nna me: a\r\n\r\n",
        "GET / HTTP/1.1\r\nname: a\x00b\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n\r\n",
        "G\x00T / HTTP/1.1\r\n\r\n",
    ] {
        refused(&app, garbage, 400).await;
    }
    // HTTP/2 without TLS: such a client would not understand an answer.
    assert!(exchange(app.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.is_empty());
    app.submit("", "1").await;
}

#[tokio::test]
async fn blank_lines_before_a_request_and_http_1_0_are_taken() {
    let app = impatient().await;
    let replies = exchange(app.address, b"\r\n\r\nGET /live HTTP/1.0\r\n\r\n").await;
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200]);
    let chunked = b"POST /tasks HTTP/1.0\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n";
    assert_eq!(exchange(app.address, chunked).await[0].status, 400);
}

#[tokio::test]
async fn heads_have_a_limit_of_bytes_and_of_headers() {
    let app = impatient().await;
    let fitting = format!("GET /live HTTP/1.1\r\nconnection: close\r\n{}\r\n", "a: b\r\n".repeat(99));
    assert_eq!(exchange(app.address, fitting.as_bytes()).await[0].status, 200);
    refused(&app, &format!("GET /live HTTP/1.1\r\nconnection: close\r\n{}\r\n", "a: b\r\n".repeat(100)), 431).await;
    refused(&app, &format!("GET /live HTTP/1.1\r\nconnection: close\r\na: {}\r\n\r\n", "x".repeat(33 << 10)), 431)
        .await;
    refused(&app, &format!("GET /live?{} HTTP/1.1\r\nconnection: close\r\n\r\n", "x".repeat(9000)), 414).await;
    app.submit("", "1").await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_its_connection_and_no_other() {
    let app = impatient().await;
    let mut idle = app.raw("").await;
    let mut slow = app.raw("GET /live HT").await;
    let drip = async {
        // A byte now and then keeps nothing open.
        while slow.write_all(b"T").await.is_ok() {
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    time::timeout(Duration::from_secs(30), drip).await.expect("the connection ends");
    let text = app.get("/metrics").await.text;
    assert!(text.contains("taskrow_api_http_dismissed_connections_total{reason=\"slow_head\"} 1"), "{text}");
    idle.write_all(b"GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = crate::support::read_to_end(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
