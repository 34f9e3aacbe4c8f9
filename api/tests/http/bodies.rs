//! Bodies that come slowly, in parts, or not at all.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::{App, Setup, read_to_end};

const HEAD: &str = "POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let app = Setup::with(|args| args.http.request_timeout = Duration::from_millis(300).into()).start().await;
    let mut stream = app.raw(&format!("{HEAD}content-length: 10\r\n\r\n{{\"a\"")).await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("/problems/request-timeout"), "{answer}");
    assert_eq!(app.submit("", "1").await.len(), 36, "others are served");
}

#[tokio::test]
async fn a_body_may_come_in_parts() {
    let app = App::start().await;
    let mut stream = app.raw(&format!("{HEAD}connection: close\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    for part in ["2\r\n{\"\r\n", "4\r\na\":1\r\n", "1\r\n}\r\n", "0\r\n\r\n"] {
        stream.write_all(part.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[tokio::test]
async fn half_a_request_stores_nothing() {
    let app = App::start().await;
    drop(app.raw(&format!("{HEAD}content-length: 10\r\n\r\n{{\"a\"")).await);
    drop(app.raw("POST /tasks HT").await);
    drop(app.raw("\r\n\r\nnonsense\r\n\r\n").await);
    app.submit("", "1").await;
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
}

#[tokio::test]
async fn bodies_share_bounded_memory() {
    let setup = Setup::with(|args| {
        args.http.body_limit = api::config::Size::of_bytes(100);
        args.http.batch_body_limit = api::config::Size::of_bytes(100);
        args.http.body_memory = api::config::Size::of_bytes(100);
    });
    let app = setup.start().await;
    let payload = format!("\"{}\"", "x".repeat(88));
    let mut half = app.raw(&format!("{HEAD}connection: close\r\ncontent-length: 90\r\n\r\n{}", &payload[..50])).await;
    crate::support::eventually("the other body holds its memory", || async {
        let answer = app.post_json("/tasks", payload.clone()).await;
        if answer.status == 503 {
            answer.problem(503, "busy");
        }
        answer.status == 503
    })
    .await;
    half.write_all(&payload.as_bytes()[50..]).await.unwrap();
    let answer = read_to_end(&mut half).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(app.post_json("/tasks", payload).await.status, 201);
}
