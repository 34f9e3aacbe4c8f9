//! POST /tasks/batch

use std::fmt::Write;

use reqwest::Method;

use crate::support::{Answer, App, Setup, redacted};

async fn tasks(app: &App) -> i64 {
    app.database.number("SELECT count(*) FROM tasks").await
}

#[tokio::test]
async fn a_batch_is_stored_in_order() {
    let app = App::start().await;
    let body =
        r#"[{"payload": 0}, {"payload": {"a": 1}, "queue": "q", "priority": 5}, {"payload": null, "delay": "1h"}]"#;
    let answer = app.post_json("/tasks/batch", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    insta::assert_json_snapshot!(redacted(answer.json()), @r#"
    {
      "tasks": [
        {
          "id": "[id]",
          "status": "queued"
        },
        {
          "id": "[id]",
          "status": "queued"
        },
        {
          "id": "[id]",
          "status": "scheduled"
        }
      ]
    }
    "#);
    let mut payloads = Vec::new();
    for task in answer.json()["tasks"].as_array().unwrap() {
        let task = app.get(&format!("/tasks/{}", task["id"].as_str().unwrap())).await;
        payloads.push(task.json()["payload"].to_string());
    }
    assert_eq!(payloads, ["0", r#"{"a":1}"#, "null"]);
}

#[tokio::test]
async fn ten_thousand_tasks_are_one_request() {
    let app = App::start().await;
    let mut lines = String::new();
    for number in 0..10_000 {
        writeln!(lines, r#"{{"payload": {number}}}"#).unwrap();
    }
    let post = |lines: String| {
        Answer::of(app.request(Method::POST, "/tasks/batch").header("content-type", "application/x-ndjson").body(lines))
    };
    let answer = post(lines.clone()).await;
    assert_eq!(answer.status, 201, "{:?}", answer.status);
    let ids: Vec<_> = answer.json()["tasks"].as_array().unwrap().iter().map(|task| task["id"].to_string()).collect();
    assert_eq!(ids.len(), 10_000);
    assert!(ids.is_sorted(), "ids of one request ascend");
    assert_eq!(tasks(&app).await, 10_000);
    assert_eq!(app.database.number("SELECT count(*) FROM taskrow.ready").await, 10_000 / 64 + 1);

    lines.push_str(r#"{"payload": "one too many"}"#);
    let problem = post(lines).await.problem(422, "invalid-batch");
    assert_eq!(problem["limit"], 10_000);
    assert_eq!(tasks(&app).await, 10_000);
}

#[tokio::test]
async fn one_bad_item_stores_nothing_and_is_named() {
    let app = App::start().await;
    let body = r#"[{"payload": 1}, {"payload": 2, "priority": 999}, {"payload": "\u0000"}, {"payloads": 1}, 5]"#;
    let answer = app.post_json("/tasks/batch", body).await;
    answer.problem(422, "invalid-batch");
    insta::assert_json_snapshot!("bad_batch", answer.json());
    assert_eq!(tasks(&app).await, 0);
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    let app = Setup::with(|args| args.http.batch_body_limit = api::config::Size::of_bytes(1000)).start().await;
    for (body, status, slug) in [
        ("", 400, "malformed-json"),
        ("[{\"payload\": 1}", 400, "malformed-json"),
        ("[]", 422, "invalid-batch"),
        ("{\"payload\": 1}", 422, "invalid-batch"),
    ] {
        app.post_json("/tasks/batch", body).await.problem(status, slug);
    }
    app.post_json("/tasks/batch?queue=a", "[{\"payload\": 1}]").await.problem(422, "invalid-option");
    app.post_json("/tasks/batch", vec![b' '; 1001]).await.problem(413, "payload-too-large");
    let text = app.request(Method::POST, "/tasks/batch").header("content-type", "text/csv").body("1");
    Answer::of(text).await.problem(415, "unsupported-media-type");
    assert_eq!(tasks(&app).await, 0);
}
