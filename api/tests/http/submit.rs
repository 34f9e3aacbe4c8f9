//! POST /tasks

use serde_json::json;

use crate::support::{App, Setup, redacted};

#[tokio::test]
async fn a_task_is_stored_as_sent_and_can_be_read() {
    let app = App::start().await;
    let answer = app.post_json("/tasks", r#" {"input": "hello", "n": 1.50, "n": 2} "#).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    insta::assert_json_snapshot!(redacted(answer.json()), @r#"
    {
      "id": "[id]",
      "kind": "echo",
      "max_attempts": 20,
      "priority": 0,
      "queue": "default",
      "status": "queued",
      "timeout_ms": 3600000
    }
    "#);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/tasks/{id}"));
    let read = app.get(answer.header("location")).await;
    assert!(read.text.contains(r#""payload":{"input": "hello", "n": 1.50, "n": 2}"#), "{read:?}");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks WHERE status = 'queued'").await, 1);
}

#[tokio::test]
async fn every_json_value_is_a_payload() {
    let app = App::start().await;
    for payload in ["null", "true", "0", "-1.5e300", "\"\"", "[]", "{}", "\"\u{1F600} \\u00e9 \\\\u0000\""] {
        let id = app.submit("", payload).await;
        let text = app.get(&format!("/tasks/{id}")).await.text;
        assert!(text.contains(&format!("\"payload\":{payload},")), "{payload}: {text}");
    }
    // What Postgres stores, it must also be able to show.
    assert_eq!(app.database.number("SELECT count(*) FROM (SELECT payload::text FROM tasks) AS all_tasks").await, 8);
}

#[tokio::test]
async fn options_are_taken_from_the_query() {
    let app = App::start().await;
    let options = "?queue=mail%2Fout&kind=send&priority=-7&max_attempts=3&timeout=90s";
    let id = app.submit(options, "1").await;
    let task = app.get(&format!("/tasks/{id}")).await.json();
    for (name, value) in [
        ("queue", json!("mail/out")),
        ("kind", json!("send")),
        ("priority", json!(-7)),
        ("max_attempts", json!(3)),
        ("timeout_ms", json!(90_000)),
    ] {
        assert_eq!(task[name], value, "{name}");
    }
}

#[tokio::test]
async fn defaults_are_configurable() {
    let setup = Setup::with(|args| {
        args.task.max_attempts = 2;
        args.task.timeout = std::time::Duration::from_secs(5).into();
    });
    let app = setup.start().await;
    let task = app.post_json("/tasks", "1").await.json();
    assert_eq!((task["max_attempts"].as_i64(), task["timeout_ms"].as_i64()), (Some(2), Some(5000)));
}

#[tokio::test]
async fn delayed_tasks_are_scheduled() {
    let app = App::start().await;
    for (options, status) in [
        ("?delay=1h30m", "scheduled"),
        ("?delay=90", "scheduled"),
        ("?run_at=2027-01-01T00:00:00%2B02:00", "scheduled"),
        ("?delay=0", "queued"),
        ("?run_at=2020-01-01T00:00:00Z", "queued"),
        ("?run_at=0001-01-01T00:00:00Z", "queued"),
    ] {
        let answer = app.post_json(&format!("/tasks{options}"), "1").await;
        assert_eq!(answer.json()["status"], status, "{options}: {answer:?}");
        let task = app.get(answer.header("location")).await.json();
        assert_eq!(task["status"], status, "{options}");
        assert_eq!(task["run_at"].is_string(), status == "scheduled", "{options}: {task}");
    }
}
