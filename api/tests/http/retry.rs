//! POST /tasks/{id}/retry

use queue::finish::Outcome;

use crate::support::{App, TestWorker, done};

#[tokio::test]
async fn failed_and_cancelled_tasks_wait_again_and_others_do_not() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let id = app.submit("", "1").await;
    let path = format!("/tasks/{id}");
    let retry = format!("{path}/retry");

    app.post(&retry).await.problem(409, "task-not-retryable");
    worker.finish_all(|_| Outcome::Failed("broken".to_owned())).await;
    let failed = app.get(&path).await.json();
    assert_eq!((failed["status"].as_str(), failed["error"].as_str()), (Some("failed"), Some("broken")));
    let answer = app.post(&retry).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json(), serde_json::json!({"id": id, "status": "queued"}));
    assert_eq!(app.get(&path).await.json()["attempt"], 0);

    assert_eq!(app.delete(&path).await.status, 200);
    assert_eq!(app.post(&retry).await.status, 200);
    worker.finish_all(|_| done("1")).await;
    app.post(&retry).await.problem(409, "task-not-retryable");
    assert_eq!(app.get(&path).await.json()["status"], "done");
}
