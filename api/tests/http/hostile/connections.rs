//! Connections that hold places, or that end halfway.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time,
};

use crate::support::{App, Setup, eventually, read_to_end};

async fn full(places: usize) -> App {
    Setup::with(|args| args.http.connections = places).start().await
}

#[tokio::test]
async fn idle_connections_make_room_for_others() {
    let app = full(20).await;
    let mut idle = Vec::new();
    for number in 0..200 {
        // Some say nothing, some half a head.
        idle.push(app.raw(if number % 2 == 0 { "" } else { "GET /li" }).await);
    }
    app.submit("", "1").await;
    assert!(app.metric("taskrow_api_http_connections").await.unwrap() <= 20.0);
    let text = app.get("/metrics").await.text;
    let dismissed = text
        .lines()
        .find_map(|line| line.strip_prefix("taskrow_api_http_dismissed_connections_total{reason=\"room\"} "));
    assert!(dismissed.unwrap().parse::<u32>().unwrap() >= 180, "{text}");
    drop(idle);
    eventually("all are let go", || async { app.metric("taskrow_api_http_connections").await == Some(1.0) }).await;
}

#[tokio::test]
async fn a_request_under_way_is_not_cut_off_for_another_client() {
    let app = full(2).await;
    let blocked = app.database.block().await;
    let head = "POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 1\r\n\r\n";
    let (mut one, mut other) = (app.raw(&format!("{head}1")).await, app.raw(head).await);
    let mut third = app.raw("GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    eventually("the first one's task is being stored", || async { app.database.waiting().await == 1 }).await;
    other.write_all(b"2").await.unwrap();
    blocked.release().await;
    for stream in [&mut one, &mut other] {
        let answer = read_to_end(stream).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
    assert!(read_to_end(&mut third).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_kept_connection_that_makes_room_ends_between_two_requests() {
    let app = full(1).await;
    // The API's own client has the only place, between two requests.
    drop(app.get("/live").await);
    let mut other = app.raw("GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    // Before the idle connection would have ended by itself.
    let answer = time::timeout(Duration::from_secs(30), read_to_end(&mut other)).await.expect("room is made");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    app.submit("", "1").await;
}

#[tokio::test]
async fn connections_that_end_halfway_are_let_go() {
    let app = App::start().await;
    let head = "POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n";
    for text in ["", "G", "GET /live HTTP/1.1\r\n", head, &format!("{head}12345")] {
        let mut half = app.raw(text).await;
        half.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = half.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2") && !answer.starts_with(b"HTTP/1.1 5"), "{text:?}: {answer:?}");
    }
    eventually("all are let go", || async { app.metric("taskrow_api_http_connections").await == Some(1.0) }).await;
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 0);
}
