//! `unique_key`

use std::collections::BTreeMap;

use futures_util::future::join_all;
use local_redis::Server;
use queue::finish::Outcome;
use serde_json::Value;

use crate::support::{Answer, App, Setup, TestDb, TestWorker, done, eventually};

/// Status of the answer, disposition, status of the task.
fn told(answer: &Answer) -> (u16, String, String) {
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    (answer.status.as_u16(), text("disposition"), text("status"))
}

fn is(status: u16, disposition: &str, stands: &str) -> (u16, String, String) {
    (status, disposition.to_owned(), stands.to_owned())
}

#[tokio::test]
async fn an_open_task_is_the_answer_until_it_ends() {
    let app = App::start().await;
    let path = "/tasks?unique_key=invoice%2042&priority=4";
    let first = app.post_json(path, "1").await;
    assert_eq!(told(&first), is(201, "stored", "queued"));
    assert_eq!(first.header("taskrow-disposition"), "stored");
    let mut worker = TestWorker::register(&app.database).await;
    let mut claimed = Vec::new();
    for stands in ["queued", "processing"] {
        let again = app.post_json("/tasks?unique_key=invoice%2042", "2").await;
        assert_eq!(told(&again), is(200, "kept", stands));
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("idempotency-replayed"), "");
        assert_eq!(again.json()["priority"], 4, "that of the open task");
        if claimed.is_empty() {
            claimed = worker.claim().await;
        }
    }
    worker.finish(&claimed, |_| done("1")).await;
    let next = app.post_json(path, "3").await;
    assert_eq!(told(&next), is(201, "stored", "queued"));
    assert_ne!(next.header("location"), first.header("location"));
    app.delete(next.header("location")).await;
    assert_eq!(app.post_json(path, "4").await.status, 201, "a cancelled task frees its key, too");
    assert_eq!(app.post_json(&format!("{path}&queue=other"), "4").await.status, 201);
    assert_eq!(app.post_json(&format!("{path}&kind=other"), "4").await.status, 201);
}

#[tokio::test]
async fn a_waiting_task_is_replaced_and_a_running_one_is_not() {
    let app = App::start().await;
    let path = "/tasks?unique_key=a&unique_mode=replace";
    let first = app.post_json(path, "1").await;
    assert_eq!(told(&first), is(201, "stored", "queued"));
    for (options, payload, stands) in [("", "2", "queued"), ("&delay=1h", "3", "scheduled"), ("", "4", "queued")] {
        let again = app.post_json(&format!("{path}{options}"), payload).await;
        assert_eq!(told(&again), is(200, "replaced", stands));
        assert_eq!(again.header("location"), first.header("location"));
        let task = app.get(first.header("location")).await.json();
        assert_eq!((task["payload"].to_string(), task["status"].as_str()), (payload.to_owned(), Some(stands)));
        assert_eq!(task["run_at"].is_string(), stands == "scheduled");
    }
    let mut worker = TestWorker::register(&app.database).await;
    let claimed = worker.claim().await;
    assert_eq!(claimed[0].payload.get(), "4");
    assert_eq!(told(&app.post_json(path, "5").await), is(200, "kept", "processing"));
    assert_eq!(app.get(first.header("location")).await.json()["payload"], 4);
}

#[tokio::test]
async fn bad_keys_are_named() {
    let app = App::start().await;
    let long = "x".repeat(256);
    for (query, option) in [
        ("unique_key=", "unique_key"),
        (&format!("unique_key={long}"), "unique_key"),
        ("unique_key=a%00", "unique_key"),
        ("unique_key=a&unique_key=b", "unique_key"),
        ("unique_mode=keep", "unique_mode"),
        ("unique_key=a&unique_mode=first", "unique_mode"),
    ] {
        let problem = app.post_json(&format!("/tasks?{query}"), "1").await.problem(422, "invalid-option");
        assert_eq!(problem["option"], option, "{query}");
    }
    for item in [
        r#"{"payload": 1, "unique_key": ""}"#.to_owned(),
        r#"{"payload": 1, "unique_key": 7}"#.to_owned(),
        r#"{"payload": 1, "unique_key": "a\u0000"}"#.to_owned(),
        format!(r#"{{"payload": 1, "unique_key": "{long}"}}"#),
        r#"{"payload": 1, "unique_mode": "keep"}"#.to_owned(),
        r#"{"payload": 1, "unique_key": "a", "unique_mode": "first"}"#.to_owned(),
    ] {
        let answer = app.post_json("/tasks/batch", format!(r#"[{{"payload": 0}}, {item}]"#)).await;
        let problem = answer.problem(422, "invalid-batch");
        assert_eq!(problem["errors"][0]["index"], 1, "{answer:?}");
    }
    let widest = "\u{1F600}".repeat(255);
    let answer = app.post_json("/tasks/batch", format!(r#"[{{"payload": 1, "unique_key": "{widest}"}}]"#)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
}

#[tokio::test]
async fn items_of_a_batch_may_have_keys() {
    let app = App::start().await;
    let held = app.submit("?unique_key=b", "0").await;
    let body = r#"[{"payload": 1, "unique_key": "a"}, {"payload": 2, "unique_key": "b"}, {"payload": 3},
                   {"payload": 4, "unique_key": "a"}, {"payload": 5, "unique_key": "b", "unique_mode": "replace", "delay": "1h"}]"#;
    let dispositions = |answer: &Answer| -> Vec<String> {
        answer.json()["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["disposition"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = app.post_json("/tasks/batch", body).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(dispositions(&first), ["stored", "kept", "stored", "kept", "replaced"]);
    let id = |answer: &Answer, index: usize| answer.json()["tasks"][index]["id"].clone();
    assert_eq!(id(&first, 0), id(&first, 3));
    assert_eq!((id(&first, 1), id(&first, 4)), (Value::from(held.clone()), Value::from(held.clone())));
    assert_eq!(app.get(&format!("/tasks/{held}")).await.json()["payload"], 5);
    let only_held = app.post_json("/tasks/batch", r#"[{"payload": 1, "unique_key": "a"}]"#).await;
    assert_eq!(only_held.status, 200, "nothing was stored: {only_held:?}");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 3);
}

/// The idempotency key comes first: what was answered to it is answered again, whatever has become of the unique key.
#[tokio::test]
async fn both_keys_may_come_together() {
    let app = App::start().await;
    let post = |key: &str, payload: &str| {
        let request = app.json("/tasks?unique_key=u&unique_mode=replace", payload.to_owned());
        Answer::of(request.header("idempotency-key", key.to_owned()))
    };
    let first = post("a", "1").await;
    assert_eq!(told(&first), is(201, "stored", "queued"));
    assert_eq!(told(&post("b", "2").await), is(200, "replaced", "queued"));
    assert_eq!(told(&post("a", "1").await), is(200, "replayed", "queued"));
    assert_eq!(app.get(first.header("location")).await.json()["payload"], 2, "a replay replaces nothing");
    app.delete(first.header("location")).await;
    let replay = post("b", "2").await;
    assert_eq!(told(&replay), is(200, "replayed", "cancelled"));
    assert_eq!(replay.header("location"), first.header("location"));
    assert_eq!(told(&post("c", "3").await), is(201, "stored", "queued"));
}

#[tokio::test]
async fn a_retry_by_hand_needs_the_key() {
    let app = App::start().await;
    let old = app.submit("?unique_key=a", "1").await;
    app.delete(&format!("/tasks/{old}")).await;
    let new = app.submit("?unique_key=a", "2").await;
    let refused = app.post(&format!("/tasks/{old}/retry")).await;
    assert_eq!(refused.problem(409, "unique-key-held")["held_by"], new);
    assert_eq!(app.get(&format!("/tasks/{old}")).await.json()["status"], "cancelled");
    let mut worker = TestWorker::register(&app.database).await;
    worker.finish_all(|_| Outcome::Failed("broken".to_owned())).await;
    assert_eq!(app.post(&format!("/tasks/{old}/retry")).await.status, 200);
    app.post(&format!("/tasks/{new}/retry")).await.problem(409, "unique-key-held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_hundreds_of_duplicates_over_two_apis_one_is_stored() {
    let database = TestDb::migrated().await;
    let apis =
        [Setup::default().on(database.clone()).start().await, Setup::default().on(database.clone()).start().await];
    let posts = (0..200).map(|number| {
        let mode = if number % 3 == 0 { "replace" } else { "keep" };
        let app = &apis[number % 2];
        async move { app.post_json(&format!("/tasks?unique_key=once&unique_mode={mode}"), number.to_string()).await }
    });
    let answers = join_all(posts).await;
    let mut dispositions: BTreeMap<(u16, String), usize> = BTreeMap::new();
    for answer in &answers {
        let (status, disposition, _) = told(answer);
        *dispositions.entry((status, disposition)).or_default() += 1;
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    assert_eq!(dispositions[&(201, "stored".to_owned())], 1, "{dispositions:?}");
    assert_eq!(dispositions.values().sum::<usize>(), 200, "{dispositions:?}");
    assert_eq!(database.number("SELECT count(*) FROM tasks").await, 1);
    let metrics = apis[0].get("/metrics").await.text;
    assert!(metrics.contains(r#"taskrow_api_keyed_submits_total{outcome="kept"}"#), "{metrics}");
}

/// A claim may have passed by the batch while it was being changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_redis_mode_a_replaced_task_is_told_of_again() {
    let redis = Server::start().unwrap_or_else(|error| panic!("{error}"));
    let app = Setup::default().beside(&redis).start().await;
    let published = || app.metric("taskrow_api_redis_published_batches_total");
    for (told, (options, status)) in [("", 201), ("", 200), ("&delay=1h", 200), ("", 200)].into_iter().enumerate() {
        let path = format!("/tasks?unique_key=a&unique_mode=replace{options}");
        assert_eq!(app.post_json(&path, told.to_string()).await.status.as_u16(), status);
        // The one for later is told of when it is due.
        let expected = [1.0, 2.0, 2.0, 3.0][told];
        eventually("it is published", || async { published().await == Some(expected) }).await;
    }
}
