//! Naming a URL that is to be told.

use crate::support::{App, Setup, TestDb, TestWorker, done};

fn allowing(patterns: &[&str]) -> Setup {
    Setup::with(|args| args.task.callback_urls = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
}

#[tokio::test]
async fn a_url_that_is_allowed_is_stored_with_its_task() {
    let app = allowing(&["https://a.example/hooks/*"]).start().await;
    let one = app.submit("?callback_url=https%3A%2F%2FA.example%2Fhooks%2Fx%3Fy%3D1", "1").await;
    let batch = r#"[{"payload": 1, "callback_url": "https://a.example/hooks/2"}, {"payload": 2}]"#;
    assert_eq!(app.post_json("/tasks/batch", batch).await.status, 201);
    let url = format!(
        "SELECT count(*) FROM taskrow.callbacks WHERE task_id = '{one}' AND url = 'https://a.example/hooks/x?y=1'"
    );
    assert_eq!(app.database.number(&url).await, 1);
    assert_eq!(app.database.number("SELECT count(*) FROM taskrow.callbacks").await, 2);
    let mut worker = TestWorker::register(&app.database).await;
    worker.finish_all(|_| done("1")).await;
    assert_eq!(app.database.number("SELECT count(*) FROM taskrow.callbacks WHERE due_at IS NOT NULL").await, 2);
}

#[tokio::test]
async fn a_url_that_is_not_allowed_is_refused_by_name() {
    let database = TestDb::migrated().await;
    let app = allowing(&["https://a.example/hooks/*"]).on(database.clone()).start().await;
    let without = Setup::default().on(database).start().await;
    for (app, url) in [
        (&app, "https://a.example/"),
        (&app, "https://b.example/hooks/"),
        (&app, "http://a.example/hooks/"),
        (&app, "https://u:p@a.example/hooks/"),
        (&app, "https://a.example/hooks/%252e%252e/x"),
        (&app, "/hooks/"),
        (&app, ""),
        (&without, "https://a.example/hooks/"),
    ] {
        let refused = app.post_json(&format!("/tasks?callback_url={url}"), "1").await;
        assert_eq!(refused.problem(422, "invalid-option")["option"], "callback_url", "{url}");
        let item = format!("{{\"payload\": 1, \"callback_url\": \"{url}\"}}");
        let refused = app.post_json("/tasks/batch", format!("[{item}]")).await.problem(422, "invalid-batch");
        assert!(refused["errors"][0]["reason"].as_str().unwrap().starts_with("callback_url: "), "{refused}");
    }
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 0);
}

#[tokio::test]
async fn kinds_of_taskrow_itself_cannot_be_submitted() {
    let app = App::start().await;
    let refused = app.post_json("/tasks?kind=taskrow.callback", "1").await.problem(422, "invalid-option");
    assert_eq!(refused["option"], "kind");
    let refused = app.post_json("/tasks/batch", r#"[{"payload": 1, "kind": "taskrow.x"}]"#).await;
    let refused = refused.problem(422, "invalid-batch");
    assert!(refused["errors"][0]["reason"].as_str().unwrap().starts_with("kind: "), "{refused}");
    app.submit("?kind=taskrow", "1").await;
}

#[tokio::test]
async fn a_task_that_may_be_another_requests_takes_no_callback() {
    let app = allowing(&["https://a.example"]).start().await;
    let refused = app.post_json("/tasks?unique_key=k&callback_url=https://a.example/", "1").await;
    assert_eq!(refused.problem(422, "invalid-option")["option"], "callback_url");
    let item = r#"[{"payload": 1, "unique_key": "k", "callback_url": "https://a.example/"}]"#;
    let refused = app.post_json("/tasks/batch", item).await.problem(422, "invalid-batch");
    assert!(refused["errors"][0]["reason"].as_str().unwrap().starts_with("callback_url: "), "{refused}");
}
