//! Submitting many at once: few commits, honest answers.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use crate::support::{Answer, App, Setup, eventually};

/// Answers of tasks that were submitted while nobody could store any: they all waited in the buffer.
async fn together(app: &App, payloads: Vec<String>) -> Vec<Answer> {
    let blocked = app.database.block().await;
    // Each flusher takes one request and waits for the lock; what comes later finds no flusher free.
    let first = app.post_json("/tasks", "\"first\"");
    let second = async {
        eventually("a flusher waits for the lock", || async { app.database.waiting().await == 1 }).await;
        app.post_json("/tasks", "\"second\"").await
    };
    let rest = async {
        eventually("both flushers wait for the lock", || async { app.database.waiting().await == 2 }).await;
        let waiting = Some(payloads.len() as f64);
        let posts = join_all(payloads.into_iter().map(|payload| app.post_json("/tasks", payload)));
        let release = async {
            eventually("the rest is in the buffer", || async {
                app.metric("taskrow_api_submit_buffer_tasks").await == waiting
            })
            .await;
            blocked.release().await;
        };
        tokio::join!(posts, release).0
    };
    tokio::join!(first, second, rest).2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_during_a_commit_shares_the_next_one() {
    let app = App::start().await;
    let answers = together(&app, (0..200).map(|number| number.to_string()).collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
    assert_eq!(ids.len(), 200);
    assert_eq!(app.database.number("SELECT count(*) FROM tasks WHERE status = 'queued'").await, 202);
    let rows = app.database.number("SELECT count(*) FROM taskrow.ready").await;
    assert!(rows <= 8, "{rows} rows for 202 tasks");
    let transactions = app.database.number("SELECT count(DISTINCT xmin::text) FROM taskrow.records").await;
    assert!(transactions <= 5, "{transactions} commits for 202 requests");
    for (payload, answer) in answers.iter().enumerate() {
        let task = app.get(answer.header("location")).await.json();
        assert_eq!(task["payload"], payload, "each client got the id of its own task");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_postgres_refuses_fails_alone() {
    let app = App::start().await;
    app.database
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.payload::text = '\"poison\"' THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON taskrow.records FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let mut payloads: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    payloads[17] = "\"poison\"".to_owned();
    let answers = together(&app, payloads).await;
    for (index, answer) in answers.iter().enumerate() {
        if index == 17 {
            answer.problem(503, "database-unavailable");
            assert!(!answer.text.contains("poisoned"), "no message of the database: {answer:?}");
        } else {
            assert_eq!(answer.status, 201, "{index}: {answer:?}");
        }
    }
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 31, "29 of them, and the two before");
}

#[tokio::test]
async fn an_answer_comes_after_the_commit_and_a_hang_up_harms_nobody() {
    let app = App::start().await;
    let blocked = app.database.block().await;
    let head = "POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n";
    let mut patient = app.raw(&format!("{head}1")).await;
    eventually("a flusher waits for the lock", || async { app.database.waiting().await > 0 }).await;
    let hasty = app.raw(&format!("{head}2")).await;
    eventually("both flushers wait for the lock", || async { app.database.waiting().await == 2 }).await;
    let nothing = patient.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock, "nothing is acknowledged before the commit");
    drop(hasty);
    blocked.release().await;
    let mut start = [0; 12];
    patient.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 201");
    eventually("the other task is stored too", || async {
        app.database.number("SELECT count(*) FROM tasks").await == 2
    })
    .await;
    app.submit("", "3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_refuses_at_once() {
    let setup = Setup::with(|args| {
        args.submit.flushers = 1;
        args.submit.submit_buffer_tasks = 10_000;
    });
    let app = setup.start().await;
    let blocked = app.database.block().await;
    let batch = format!("[{}]", vec![r#"{"payload":1}"#; 10_000].join(","));
    let held = app.post_json("/tasks", "1");
    let buffered = app.post_json("/tasks/batch", batch);
    let refused = async {
        eventually("the flusher waits for the lock", || async { app.database.waiting().await == 1 }).await;
        eventually("the buffer is full", || async {
            app.metric("taskrow_api_submit_buffer_tasks").await == Some(10_000.0)
        })
        .await;
        app.post_json("/tasks", "2").await.problem(503, "busy");
        app.post_json("/tasks/batch", r#"[{"payload":2}]"#).await.problem(503, "busy");
        assert!(app.get("/metrics").await.text.contains(r#"taskrow_api_submit_refused_total{reason="full"} 2"#));
        blocked.release().await;
    };
    // The first request must have been taken by the flusher before the batch arrives.
    let first = async {
        let (held, ()) = tokio::join!(held, async {
            eventually("the flusher waits for the lock", || async { app.database.waiting().await == 1 }).await;
            let (buffered, ()) = tokio::join!(buffered, refused);
            assert_eq!(buffered.status, 201);
        });
        held
    };
    assert_eq!(first.await.status, 201);
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 10_001);
    app.submit("", "3").await;
}
