//! GET /tasks/{id}

use crate::support::{Answer, App, TestWorker, done, redacted};
use reqwest::Method;

#[tokio::test]
async fn a_task_shows_where_it_stands() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let id = app.submit("", r#"{"input": "hello"}"#).await;
    let path = format!("/tasks/{id}");
    insta::assert_json_snapshot!("task_queued", redacted(app.get(&path).await.json()));

    let claimed = worker.claim().await;
    worker.report(&claimed[0], r#"{"percent": 50}"#).await;
    let task = app.get(&path).await.json();
    assert_eq!((task["status"].as_str(), task["attempt"].as_i64()), (Some("processing"), Some(1)));
    assert_eq!(task["progress"]["percent"], 50);
    assert_eq!(task["worker"], worker.id.0);

    worker.finish(&claimed, |_| done(r#"{"output": "olleh"}"#)).await;
    let mut task = redacted(app.get(&path).await.json());
    task["worker"].take();
    insta::assert_json_snapshot!("task_done", task);
}

#[tokio::test]
async fn a_known_tag_saves_the_body_until_something_changes() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let conditional = |tag: String| Answer::of(app.request(Method::GET, &path).header("if-none-match", tag));

    let mut tags = vec![app.get(&path).await.header("etag").to_owned()];
    assert!(tags[0].starts_with('"') && tags[0].ends_with('"'), "{tags:?}");
    let unchanged = conditional(format!("\"other\", W/{}", tags[0])).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.text.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), tags[0]);

    let claimed = worker.claim().await;
    tags.push(conditional(tags[0].clone()).await.header("etag").to_owned());
    worker.report(&claimed[0], "50").await;
    tags.push(conditional(tags[1].clone()).await.header("etag").to_owned());
    assert_eq!(app.delete(&path).await.status, 202);
    tags.push(conditional(tags[2].clone()).await.header("etag").to_owned());
    worker.finish(&claimed, |_| done("1")).await;
    let last = conditional(tags[3].clone()).await;
    assert_eq!(last.status, 200);
    tags.push(last.header("etag").to_owned());
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 5, "claim, progress, cancellation and outcome each change the tag");
}

#[tokio::test]
async fn what_is_no_task_is_not_found() {
    let app = App::start().await;
    for id in ["1", "batches", "00000000-0000-0000-0000-000000000000", "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40"] {
        app.get(&format!("/tasks/{id}")).await.problem(404, "task-not-found");
        app.delete(&format!("/tasks/{id}")).await.problem(404, "task-not-found");
        app.post(&format!("/tasks/{id}/cancel")).await.problem(404, "task-not-found");
        app.post(&format!("/tasks/{id}/retry")).await.problem(404, "task-not-found");
    }
}
