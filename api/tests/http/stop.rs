//! Stopping, and starting wrong.

use std::time::Duration;

use api::Api;
use dispatch::Dispatch;

use crate::support::{App, Setup, TestDb, eventually};

#[tokio::test]
async fn a_stop_serves_on_then_finishes_what_runs_then_ends() {
    let mut app = Setup::with(|args| args.drain.drain_delay = Duration::from_millis(500).into()).start().await;
    let blocked = app.database.block().await;
    let running = app.json("/tasks", "1");
    let running = service::tasks::Tasks::new().spawn(async move { running.send().await.unwrap().status() });
    eventually("the request waits for its commit", || async { app.database.waiting().await == 1 }).await;

    app.stop.cancel();
    eventually("/ready answers 503", || async { app.get("/ready").await.status == 503 }).await;
    assert_eq!(app.get("/ready").await.json()["status"], "stopping");
    let live = app.get("/live").await;
    assert_eq!((live.status.as_u16(), live.header("connection")), (200, "close"));

    eventually("the port closes", || async { tokio::net::TcpStream::connect(app.address).await.is_err() }).await;
    assert!(!running.is_finished(), "the running request is waited for");
    blocked.release().await;
    assert_eq!(running.await.unwrap(), 201);
    app.stopped().await.unwrap();
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
    let mine = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'taskrow api%' AND application_name NOT LIKE '%test'";
    eventually("its connections are closed", || async { app.database.number(mine).await == 0 }).await;
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let mut app = Setup::with(|args| args.drain.drain_budget = Duration::from_millis(100).into()).start().await;
    let mut stuck =
        app.raw("POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n").await;
    eventually("it is connected", || async {
        app.metric("taskrow_api_http_connections").await.is_some_and(|open| open >= 2.0)
    })
    .await;
    app.stopped().await.unwrap();
    assert_eq!(crate::support::read_to_end(&mut stuck).await, "");
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let app = App::start().await;
    let mut args = api::ApiArgs::default();
    args.http.bind = app.address;
    let failure = Api::bind(args, TestDb::at(app.database.url()), Dispatch::default()).await.unwrap_err().to_string();
    let port = app.address.port();
    assert_eq!(
        failure,
        format!("port {port} is taken: something else listens on 127.0.0.1:{port}; stop it or set API_BIND")
    );
}

#[tokio::test]
async fn a_bad_configuration_opens_no_port() {
    let mut args = api::ApiArgs::default();
    args.http.bind = ([127, 0, 0, 1], 0).into();
    args.submit.flushers = 0;
    let failure =
        Api::bind(args, TestDb::at("postgresql://nobody@127.0.0.1:1/none"), Dispatch::default()).await.unwrap_err();
    assert_eq!(failure.to_string(), "API_FLUSHERS must be above zero");
}
