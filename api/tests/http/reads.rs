//! Reading many tasks at once: few statements, each answered its own.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use queue::finish::Outcome;

use crate::support::{Answer, App, Setup, TestWorker, done, eventually};

/// Answers of reads that waited while both readers were held up.
async fn together(app: &App, ids: &[String]) -> Vec<Answer> {
    let path = |id: &String| format!("/tasks/{id}");
    let blocked = app.database.block().await;
    let first = app.get("/tasks/019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40");
    let second = async {
        eventually("a reader waits for the lock", || async { app.database.waiting().await == 1 }).await;
        app.get("/tasks/019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a41").await
    };
    let rest = async {
        eventually("both readers wait for the lock", || async { app.database.waiting().await == 2 }).await;
        let waiting = Some(ids.len() as f64);
        let release = async {
            eventually("the rest waits for a reader", || async {
                app.metric("taskrow_api_reads_waiting").await == waiting
            })
            .await;
            blocked.release().await;
        };
        let paths: Vec<_> = ids.iter().map(path).collect();
        tokio::join!(join_all(paths.iter().map(|path| app.get(path))), release).0
    };
    tokio::join!(first, second, rest).2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_during_a_read_shares_the_next_one_and_each_gets_its_own() {
    let app = App::start().await;
    let mut known = Vec::new();
    for number in 0..20 {
        known.push(app.submit("", &number.to_string()).await);
    }
    let unknown = |number: u32| format!("019ab7a0-5f3c-7c41-b5ce-2f0f8d1c{number:04x}");
    let asked: Vec<_> =
        (0..200).map(|n| if n % 3 == 0 { unknown(n % 30) } else { known[n as usize % 20].clone() }).collect();
    let answers = together(&app, &asked).await;
    for (id, answer) in asked.iter().zip(answers) {
        match known.iter().position(|known| known == id) {
            Some(payload) => {
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(
                    (answer.json()["id"].as_str(), &answer.json()["payload"]),
                    (Some(id.as_str()), &payload.into())
                );
            }
            None => assert_eq!(answer.problem(404, "task-not-found")["id"], *id),
        }
    }
    let distinct = asked.iter().collect::<BTreeSet<_>>().len() as f64;
    let statements = app.metric("taskrow_api_read_tasks_count").await.unwrap();
    assert!(statements <= 4.0, "{statements} statements");
    let ids = app.metric("taskrow_api_read_tasks_sum").await.unwrap();
    assert!(ids <= 2.0 + 2.0 * distinct, "{ids} ids asked for, {distinct} wanted");
    assert_eq!(app.metric("taskrow_api_reads_waiting").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_reads_alone_as_it_does_in_a_list() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    for payload in 0..6 {
        app.submit("", &payload.to_string()).await;
    }
    let claimed = worker.claim().await;
    worker.finish(&claimed[..1], |_| done("[1]")).await;
    worker.finish(&claimed[1..2], |_| Outcome::Failed("broken".to_owned())).await;
    worker.finish(&claimed[2..3], |_| Outcome::Cancelled).await;
    worker.retry_later(&claimed[3], "flaky").await;
    worker.report(&claimed[4], "0.5").await;
    app.delete(&format!("/tasks/{}", claimed[5].id)).await;
    app.submit("", "null").await;
    app.submit("?delay=1h", "null").await;

    let listed = app.get("/tasks").await.json()["tasks"].as_array().unwrap().clone();
    let ids: Vec<_> = listed.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    let states: BTreeSet<_> = listed.iter().map(|task| task["status"].as_str().unwrap()).collect();
    assert_eq!(states.len(), 6, "{states:?}");
    let retried = listed.iter().find(|task| task["error"] == "flaky").unwrap();
    assert_eq!((&retried["status"], &retried["attempt"]), (&"scheduled".into(), &1.into()));
    let answers = together(&app, &ids).await;
    assert_eq!(answers.iter().map(Answer::json).collect::<Vec<_>>(), listed);
    let tags: BTreeSet<_> = answers.iter().map(|answer| answer.header("etag")).collect();
    assert_eq!(tags.len(), listed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_tasks_are_read_together_too() {
    let app = App::start().await;
    let payload = |number: usize| format!("\"{}\"", number.to_string().repeat(400_000));
    let mut ids = Vec::new();
    for number in 10..50 {
        ids.push(app.submit("", &payload(number)).await);
    }
    let small = app.submit("", "1").await;
    ids.push(small);
    let answers = together(&app, &ids).await;
    for (number, answer) in (10..50).zip(&answers) {
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(&payload(number)), "task {number} has its own payload");
    }
    assert_eq!(answers[40].json()["payload"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_postgres_refuses_to_read_fails_alone() {
    let app = App::start().await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(app.submit("", &number.to_string()).await);
    }
    app.database
        .execute(&format!(
            "ALTER FUNCTION taskrow.task_bit RENAME TO real_bit;
             CREATE FUNCTION taskrow.task_bit(id uuid) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
                 $$ BEGIN IF id = '{}' THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN taskrow.real_bit(id); END $$",
            ids[17]
        ))
        .await;
    for (number, answer) in together(&app, &ids).await.iter().enumerate() {
        if number == 17 {
            answer.problem(503, "database-unavailable");
            assert!(!answer.text.contains("poisoned"), "no message of the database: {answer:?}");
        } else {
            assert_eq!(answer.json()["payload"], number, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_hang_up_harms_nobody() {
    let app = App::start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let blocked = app.database.block().await;
    let hasty = app.raw(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    eventually("a reader waits for the lock", || async { app.database.waiting().await == 1 }).await;
    let release = async {
        eventually("both readers wait for the lock", || async { app.database.waiting().await == 2 }).await;
        let waiting = app.raw(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        eventually("a third one waits", || async { app.metric("taskrow_api_reads_waiting").await == Some(1.0) }).await;
        drop((hasty, waiting));
        blocked.release().await;
    };
    let (answer, ()) = tokio::join!(app.get(&path), release);
    assert_eq!(answer.json()["payload"], 1);
    eventually("nobody waits", || async { app.metric("taskrow_api_reads_waiting").await == Some(0.0) }).await;
    assert_eq!(app.get(&path).await.json()["payload"], 1);
}

#[tokio::test]
async fn silence_ends_in_time() {
    let app = Setup::with(|args| args.http.request_timeout = Duration::from_secs(2).into()).start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let blocked = app.database.block().await;
    app.get(&path).await.problem(503, "database-unavailable");
    blocked.release().await;
    assert_eq!(app.get(&path).await.json()["payload"], 1);
}
