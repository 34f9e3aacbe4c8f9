//! Where a request ends: lengths, chunks, and requests hidden in others.

use super::{exchange::exchange, impatient};

const POST: &str = "POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
/// What a peer wants to smuggle past a proxy that sees one request.
const HIDDEN: &str =
    "POST /tasks?queue=hidden HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n1";

#[tokio::test]
async fn bad_lengths_are_refused_and_end_the_connection() {
    let app = impatient().await;
    for headers in [
        "content-length: -1",
        "content-length: +1",
        "content-length: 0x1",
        "content-length: 1, 2",
        "content-length: 1\r\ncontent-length: 2",
        "content-length: 99999999999999999999999",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding : chunked",
        "content-length : 1",
        "transfer-encoding:\x0bchunked",
    ] {
        let replies = exchange(app.address, format!("{POST}{headers}\r\n\r\n{HIDDEN}").as_bytes()).await;
        assert_eq!(replies.len(), 1, "{headers}: {replies:?}");
        assert_eq!(replies[0].status, 400, "{headers}: {replies:?}");
        replies[0].check().unwrap();
    }
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 0);
}

/// RFC 9112, 6.3: what two parties may read differently is read by one rule, and the connection ends, so that nothing can follow.
#[tokio::test]
async fn two_lengths_of_one_body_end_the_connection() {
    let app = impatient().await;
    for headers in
        ["content-length: 6\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 6"]
    {
        let replies =
            exchange(app.address, format!("{POST}{headers}\r\n\r\n1\r\n7\r\n0\r\n\r\n{HIDDEN}").as_bytes()).await;
        assert_eq!(replies.len(), 1, "{headers}: {replies:?}");
        assert_eq!(replies[0].header("connection"), Some("close"), "{replies:?}");
    }
    let hidden = app.database.number("SELECT count(*) FROM tasks WHERE queue = 'hidden'").await;
    assert_eq!(hidden, 0);
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    let app = impatient().await;
    for length in ["9223372036854775807", "18446744073709551613", "20000000"] {
        let head = format!("{POST}content-length: {length}\r\n\r\n1");
        let replies = exchange(app.address, head.as_bytes()).await;
        assert_eq!(replies[0].status, 413, "{replies:?}");
        replies[0].check().unwrap();
    }
}

#[tokio::test]
async fn broken_chunks_store_nothing() {
    let app = impatient().await;
    for body in [
        "g\r\n1\r\n0\r\n\r\n".to_owned(),
        "-1\r\n1\r\n0\r\n\r\n".to_owned(),
        "fffffffffffffffff\r\n1".to_owned(),
        "1\r\n12\r\n0\r\n\r\n".to_owned(),
        format!("1;{}\r\n1\r\n0\r\n\r\n", "x".repeat(100_000)),
        format!("1\r\n1\r\n0\r\n{}\r\n", "a: b\r\n".repeat(1000)),
    ] {
        let head = format!("{POST}connection: close\r\ntransfer-encoding: chunked\r\n\r\n");
        for reply in exchange(app.address, [head.as_bytes(), body.as_bytes()].concat().as_slice()).await {
            assert_eq!(reply.status, 400, "{reply:?}");
            reply.check().unwrap();
        }
    }
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 0);
    // In chunks of a byte each, a body is one all the same.
    let chunks: String = "[1, 2]".chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
    let whole = format!("{POST}connection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(exchange(app.address, whole.as_bytes()).await[0].status, 201);
}

#[tokio::test]
async fn hundreds_of_pipelined_requests_are_answered_in_their_order() {
    let app = impatient().await;
    let request = |number: usize| {
        let body = number.to_string();
        let close = if number == 299 { "connection: close\r\n" } else { "" };
        format!(
            "POST /tasks?queue=q{number} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{close}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let replies = exchange(app.address, (0..300).map(request).collect::<String>().as_bytes()).await;
    let queues: Vec<_> = replies.iter().map(|reply| reply.json()["queue"].as_str().unwrap().to_owned()).collect();
    assert_eq!(queues, (0..300).map(|number| format!("q{number}")).collect::<Vec<_>>());
}
