//! PATCH /queues/{name}: queues that accept some kinds only

use reqwest::Method;

use crate::support::{Answer, App, Proxy, Setup, TestDb, eventually};

async fn patch(app: &App, queue: &str, body: &str) -> Answer {
    let request = app.request(Method::PATCH, &format!("/queues/{queue}"));
    Answer::of(request.header("content-type", "application/json").body(body.to_owned())).await
}

#[tokio::test]
async fn a_strict_queue_refuses_other_kinds() {
    let app = App::start().await;
    let strict = patch(&app, "mail", r#"{"kinds": ["http", "email"]}"#).await;
    assert_eq!(strict.status, 200, "{strict:?}");
    assert_eq!(strict.json()["accepts"], serde_json::json!(["email", "http"]));

    let problem = app.post_json("/tasks?queue=mail&kind=resize", "1").await.problem(422, "invalid-option");
    assert_eq!((&problem["option"], &problem["accepts"]), (&"kind".into(), &serde_json::json!(["email", "http"])));
    assert_eq!(problem["detail"], "kind: queue mail accepts only email, http");
    let batch =
        r#"[{"payload": 1, "queue": "mail", "kind": "email"}, {"payload": 1, "queue": "mail"}, {"payload": 1}]"#;
    let problem = app.post_json("/tasks/batch", batch).await.problem(422, "invalid-batch");
    let errors = serde_json::json!([{"index": 1, "reason": "kind: queue mail accepts only email, http"}]);
    assert_eq!(problem["errors"], errors);
    for fine in ["?queue=mail&kind=email", "?kind=resize"] {
        app.submit(fine, "1").await;
    }
    eventually("the list shows both", || async {
        let queues = app.get("/queues").await.json();
        let accepts: Vec<_> =
            queues["queues"].as_array().unwrap().iter().map(|queue| queue["accepts"].clone()).collect();
        accepts == [serde_json::Value::Null, serde_json::json!(["email", "http"])]
    })
    .await;

    let open = patch(&app, "mail", r#"{"kinds": null}"#).await;
    assert!(open.json()["accepts"].is_null());
    app.submit("?queue=mail&kind=resize", "1").await;
}

#[tokio::test]
async fn every_process_knows_it_when_it_is_ready_and_hears_of_changes() {
    let database = TestDb::migrated().await;
    database.execute("INSERT INTO taskrow.queues (name, kinds) VALUES ('mail', '{email}')").await;
    let [one, other] =
        [Setup::default().on(database.clone()).start().await, Setup::default().on(database.clone()).start().await];
    for app in [&one, &other] {
        app.post_json("/tasks?queue=mail", "1").await.problem(422, "invalid-option");
    }
    patch(&one, "mail", r#"{"kinds": ["echo"]}"#).await;
    one.submit("?queue=mail&kind=echo", "1").await;
    eventually("the other one follows", || async { other.post_json("/tasks?queue=mail", "1").await.status == 201 })
        .await;
    database.execute("UPDATE taskrow.queues SET kinds = '{email}'").await;
    for app in [&one, &other] {
        eventually("psql is followed", || async { app.post_json("/tasks?queue=mail", "1").await.status == 422 }).await;
    }
}

#[tokio::test]
async fn what_was_known_holds_while_postgres_is_away() {
    let database = TestDb::migrated().await;
    database.execute("INSERT INTO taskrow.queues (name, kinds) VALUES ('mail', '{email}')").await;
    let proxy = Proxy::before(&database).await;
    let app = Setup::default().on(database).through(&proxy).start().await;
    proxy.cut();
    eventually("it is missed", || async { app.get("/ready").await.status == 503 }).await;
    app.post_json("/tasks?queue=mail", "1").await.problem(422, "invalid-option");
}

#[tokio::test]
async fn bad_settings_are_named() {
    let app = App::start().await;
    for (body, option) in [
        ("{}", "kinds"),
        ("[]", "kinds"),
        (r#"{"kinds": []}"#, "kinds"),
        (r#"{"kinds": "email"}"#, "kinds"),
        (r#"{"kinds": ["a b"]}"#, "kinds"),
        (r#"{"paused": true}"#, "paused"),
    ] {
        let problem = patch(&app, "mail", body).await.problem(422, "invalid-option");
        assert_eq!(problem["option"], option, "{body}");
    }
    patch(&app, "mail", "{").await.problem(400, "malformed-json");
    patch(&app, "no%20name", r#"{"kinds": null}"#).await.problem(404, "not-found");
    patch(&app, "mail", &format!("{{\"kinds\": [{}1]}}", " ".repeat(20_000))).await.problem(413, "payload-too-large");
    let untyped = Answer::of(app.request(Method::PATCH, "/queues/mail").body("{}")).await;
    untyped.problem(415, "unsupported-media-type");
    assert_eq!(app.get("/queues").await.json()["queues"], serde_json::json!([]));
}
