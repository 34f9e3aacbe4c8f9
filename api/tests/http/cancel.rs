//! DELETE /tasks/{id} and POST /tasks/{id}/cancel

use queue::wakeup::{Heard, Hint, listen};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{App, TestDb, TestWorker, done, eventually};

#[tokio::test]
async fn a_waiting_task_is_cancelled_at_once_and_once() {
    let app = App::start().await;
    for (options, by_delete) in [("", true), ("", false), ("?delay=1h", true), ("?delay=1h", false)] {
        let id = app.submit(options, "1").await;
        for _ in 0..2 {
            let answer = match by_delete {
                true => app.delete(&format!("/tasks/{id}")).await,
                false => app.post(&format!("/tasks/{id}/cancel")).await,
            };
            assert_eq!(answer.status, 200, "{answer:?}");
            let expected = serde_json::json!({"id": id, "status": "cancelled", "cancel_requested": false});
            assert_eq!(answer.json(), expected);
        }
        assert_eq!(app.get(&format!("/tasks/{id}")).await.json()["status"], "cancelled");
    }
    assert_eq!(TestWorker::register(&app.database).await.claim().await.len(), 0);
}

#[tokio::test]
async fn the_worker_of_a_running_task_is_told() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let (send, mut heard) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let listening = service::tasks::Tasks::new().spawn(listen(TestDb::at(app.database.url()), stop.clone(), {
        move |news| {
            let _ = send.send(news);
        }
    }));
    while heard.recv().await != Some(Heard::Listening(true)) {}

    let id = app.submit("", "1").await;
    let claimed = worker.claim().await;
    let answer = app.delete(&format!("/tasks/{id}")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json(), serde_json::json!({"id": id, "status": "processing", "cancel_requested": true}));
    while heard.recv().await != Some(Heard::Hint(Hint::Cancel(worker.id))) {}
    let task = app.get(&format!("/tasks/{id}")).await.json();
    assert_eq!((task["status"].as_str(), task["cancel_requested"].as_bool()), (Some("processing"), Some(true)));

    worker.finish(&claimed, |_| done("\"too late\"")).await;
    let problem = app.delete(&format!("/tasks/{id}")).await.problem(409, "task-final");
    assert_eq!(problem["status_of_task"], "done");
    stop.cancel();
    listening.await.unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_has_cancelled_all_the_same() {
    let app = App::start().await;
    let id = app.submit("", "1").await;
    let blocked = app.database.block().await;
    let client = app.raw(&format!("DELETE /tasks/{id} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    eventually("the cancellation waits for the lock", || async { app.database.waiting().await > 0 }).await;
    drop(client);
    blocked.release().await;
    eventually("it is cancelled", || async { app.get(&format!("/tasks/{id}")).await.json()["status"] == "cancelled" })
        .await;
}

#[tokio::test]
async fn options_are_refused() {
    let app = App::start().await;
    let id = app.submit("", "1").await;
    app.delete(&format!("/tasks/{id}?force=1")).await.problem(422, "invalid-option");
    assert_eq!(app.get(&format!("/tasks/{id}")).await.json()["status"], "queued");
}
