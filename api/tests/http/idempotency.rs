//! `Idempotency-Key`

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use reqwest::Client;
use serde_json::json;

use crate::support::{Answer, App, Proxy, Setup, TestDb, TestWorker, done, eventually, redacted};

/// POST with a key.
async fn post(app: &App, path: &str, key: &str, body: &str) -> Answer {
    Answer::of(app.json(path, body.to_owned()).header("idempotency-key", key)).await
}

#[tokio::test]
async fn the_same_request_with_the_same_key_is_one_task() {
    let app = App::start().await;
    let first = post(&app, "/tasks?priority=3&queue=mail", "\"a\"", r#"{"n": 1}"#).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.header("idempotency-replayed"), "");
    insta::assert_json_snapshot!(redacted(first.json()), @r#"
    {
      "disposition": "stored",
      "id": "[id]",
      "kind": "echo",
      "max_attempts": 20,
      "priority": 3,
      "queue": "mail",
      "status": "queued",
      "timeout_ms": 3600000
    }
    "#);
    // Options in another order, white space around the payload, a key without quotes: the same request.
    for (path, key, body) in [
        ("/tasks?priority=3&queue=mail", "\"a\"", r#"{"n": 1}"#),
        ("/tasks?queue=mail&priority=3", "a", r#"  {"n": 1}  "#),
        ("/tasks?queue=mail&priority=3&max_attempts=20&delay=0", "a", r#"{"n": 1}"#),
    ] {
        let again = post(&app, path, key, body).await;
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.header("location"), first.header("location"));
        let mut expected = first.json();
        expected["disposition"] = json!("replayed");
        assert_eq!(again.json(), expected);
    }
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
    assert_eq!(app.metric("taskrow_api_submitted_tasks_total").await, Some(1.0));
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains(r#"taskrow_api_keyed_submits_total{outcome="replayed"} 3"#), "{metrics}");
}

#[tokio::test]
async fn a_replay_tells_where_the_task_stands_now() {
    let app = App::start().await;
    post(&app, "/tasks", "a", "1").await;
    let mut worker = TestWorker::register(&app.database).await;
    worker.finish_all(|_| done("2")).await;
    assert_eq!(post(&app, "/tasks", "a", "1").await.json()["status"], "done");
}

#[tokio::test]
async fn another_request_with_the_key_is_refused() {
    let app = App::start().await;
    assert_eq!(post(&app, "/tasks", "a", "1").await.status, 201);
    let batch = r#"[{"payload": 1}]"#;
    for (path, body) in [
        ("/tasks", "2"),
        ("/tasks", "1.0"),
        ("/tasks?priority=1", "1"),
        ("/tasks?delay=1h", "1"),
        ("/tasks?unique_key=u", "1"),
        ("/tasks/batch", batch),
    ] {
        let problem = post(&app, path, "a", body).await.problem(422, "idempotency-key-reused");
        assert_eq!(problem["header"], "Idempotency-Key", "{path} {body}");
    }
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
}

#[tokio::test]
async fn bad_keys_are_refused_and_named() {
    let app = App::start().await;
    for path in ["/tasks", "/tasks/batch"] {
        for key in ["", "\"\"", "\"a", "a b", "\"a\";b=1", &"x".repeat(256)] {
            let problem = post(&app, path, key, r#"[{"payload": 1}]"#).await.problem(400, "invalid-header");
            assert_eq!(problem["header"], "Idempotency-Key", "{key}");
        }
        let twice = app.json(path, "[]").header("idempotency-key", "a").header("idempotency-key", "a");
        Answer::of(twice).await.problem(400, "invalid-header");
    }
    // What is refused for another reason takes no key.
    post(&app, "/tasks?priority=high", "a", "1").await.problem(422, "invalid-option");
    post(&app, "/tasks", "a", "{").await.problem(400, "malformed-json");
    assert_eq!(post(&app, "/tasks", "a", "1").await.status, 201);
    assert_eq!(app.database.number("SELECT count(*) FROM taskrow.idempotency_keys").await, 1);
}

#[tokio::test]
async fn a_key_names_a_whole_batch() {
    let app = App::start().await;
    let body = r#"[{"payload": 1}, {"payload": 2, "delay": "1h"}, {"payload": 3, "queue": "q"}]"#;
    let first = post(&app, "/tasks/batch", "a", body).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = post(&app, "/tasks/batch", "a", body).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (200, "true"), "{again:?}");
    let ids = |answer: &Answer| -> Vec<_> {
        answer.json()["tasks"].as_array().unwrap().iter().map(|task| task["id"].clone()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    insta::assert_json_snapshot!(redacted(again.json()), @r#"
    {
      "tasks": [
        {
          "disposition": "replayed",
          "id": "[id]",
          "status": "queued"
        },
        {
          "disposition": "replayed",
          "id": "[id]",
          "status": "scheduled"
        },
        {
          "disposition": "replayed",
          "id": "[id]",
          "status": "queued"
        }
      ]
    }
    "#);
    post(&app, "/tasks/batch", "a", r#"[{"payload": 1}]"#).await.problem(422, "idempotency-key-reused");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 3);
}

#[tokio::test]
async fn a_key_expires() {
    let app = Setup::with(|args| args.submit.idempotency_ttl = Duration::from_millis(50).into()).start().await;
    assert_eq!(post(&app, "/tasks", "a", "1").await.status, 201);
    eventually("the key is forgotten", || async { post(&app, "/tasks", "a", "2").await.status == 201 }).await;
}

/// Over two processes' worth of API.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_hundreds_of_duplicates_over_two_apis_one_is_stored() {
    let database = TestDb::migrated().await;
    let apis =
        [Setup::default().on(database.clone()).start().await, Setup::default().on(database.clone()).start().await];
    for round in 0..3 {
        let key = format!("\"round {round}\"");
        let posts = (0..200).map(|number| post(&apis[number % 2], "/tasks", &key, "{\"once\": true}"));
        let answers = join_all(posts).await;
        let stored = answers.iter().filter(|answer| answer.status == 201).count();
        let replayed = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((stored, replayed), (1, 199), "{:?}", answers.iter().find(|answer| !answer.status.is_success()));
        let locations: BTreeSet<_> = answers.iter().map(|answer| answer.header("location")).collect();
        assert_eq!(locations.len(), 1, "{locations:?}");
    }
    assert_eq!(database.number("SELECT count(*) FROM tasks").await, 3);
    assert_eq!(database.number("SELECT count(*) FROM taskrow.ready").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_lost_its_answer_gets_the_same_task() {
    let app = App::start().await;
    let proxy = Proxy::before_api(app.address).await;
    let url = format!("{}/tasks", proxy.url());
    let send = || {
        let request = Client::new().post(&url).header("content-type", "application/json").body("\"once\"");
        request.header("idempotency-key", "\"8e03978e\"").send()
    };
    let blocked = app.database.block().await;
    let (lost, ()) = tokio::join!(send(), async {
        eventually("the statement waits for the lock", || async { app.database.waiting().await == 1 }).await;
        proxy.cut();
    });
    lost.expect_err("the connection broke");
    blocked.release().await;
    eventually("it is stored all the same", || async { app.database.number("SELECT count(*) FROM tasks").await == 1 })
        .await;
    proxy.mend();
    let again = send().await.unwrap();
    assert_eq!(again.status(), 200);
    let location = again.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(app.get(&location).await.json()["payload"], "once");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
}

/// The API's connection breaks after Postgres was told to commit, and before it says that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_and_not_repeated() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let app = Setup::default().through(&proxy).on(database).start().await;
    app.database
        .execute(
            "CREATE TABLE public.gate (); INSERT INTO public.gate DEFAULT VALUES; GRANT SELECT ON public.gate TO PUBLIC;
             CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN WHILE EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.005); END LOOP; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON taskrow.idempotency_keys DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION wait()",
        )
        .await;
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let cut = async {
        eventually("the transaction commits", || async { app.database.number(sleeping).await == 1 }).await;
        proxy.cut();
        proxy.mend();
        eventually("the second try waits for the first", || async { app.database.waiting().await == 1 }).await;
        app.database.execute("DELETE FROM public.gate").await;
    };
    let (answer, ()) = tokio::join!(post(&app, "/tasks", "a", "\"once\""), cut);
    assert_eq!((answer.status.as_u16(), answer.json()["disposition"].as_str()), (201, Some("stored")), "{answer:?}");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
    assert_eq!(app.get(answer.header("location")).await.json()["payload"], "once");
    assert_eq!(post(&app, "/tasks", "a", "\"once\"").await.status, 200);
}

/// Another process has the key and does not let go; everybody else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_held_is_told_after_a_while() {
    let app = App::start().await;
    let mut holder = app.database.connect().await;
    diesel_async::SimpleAsyncConnection::batch_execute(
        &mut holder,
        "BEGIN; INSERT INTO taskrow.idempotency_keys (expires_at, request, scope, key, fingerprint, task_ids)
         VALUES ('infinity', gen_random_uuid(), 'global', 'a', sha256('x'), ARRAY[gen_random_uuid()])",
    )
    .await
    .unwrap();
    let held = join_all((0..2).map(|_| post(&app, "/tasks", "a", "1")));
    let others = async {
        eventually("both wait", || async { app.database.waiting().await == 2 }).await;
        assert_eq!(post(&app, "/tasks", "b", "1").await.status, 201);
        assert_eq!(app.get("/tasks").await.status, 200);
        app.submit("", "1").await;
    };
    for answer in tokio::join!(held, others).0 {
        answer.problem(409, "key-in-use");
    }
    drop(holder);
    eventually("the key is free", || async { post(&app, "/tasks", "a", "1").await.status == 201 }).await;
    assert!(app.get("/metrics").await.text.contains(r#"taskrow_api_keyed_submits_total{outcome="key_in_use"} 2"#));
}

#[tokio::test]
async fn what_is_not_stored_is_told_and_may_be_sent_again() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let setup = Setup::with(|args| args.http.request_timeout = Duration::from_secs(2).into());
    let app = setup.through(&proxy).on(database).start().await;
    proxy.cut();
    let answer = post(&app, "/tasks", "a", "1").await;
    let slug = if answer.text.contains("outcome-unknown") { "outcome-unknown" } else { "database-unavailable" };
    answer.problem(503, slug);
    proxy.mend();
    app.until_ready().await;
    assert_eq!(post(&app, "/tasks", "a", "1").await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_connections_are_replaced_unnoticed() {
    let app = App::start().await;
    let posts = |prefix: &'static str| {
        join_all((0..16).map(move |number| (prefix, number)).map(|(prefix, number)| {
            let app = &app;
            async move { post(app, "/tasks", &format!("{prefix}{number}"), "1").await }
        }))
    };
    let all = |answers: Vec<Answer>, status: u16| {
        assert!(answers.iter().all(|answer| answer.status == status), "not all are {status}: {answers:?}");
    };
    all(posts("a").await, 201);
    app.database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    all(posts("b").await, 201);
    all(posts("b").await, 200);
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 32);
}

/// A submit without a key goes its own way.
#[tokio::test]
async fn without_a_key_nothing_is_written_about_keys() {
    let app = App::start().await;
    let answer = app.post_json("/tasks", "1").await;
    assert!(answer.json().get("disposition").is_none(), "{answer:?}");
    let answer = app.post_json("/tasks/batch", r#"[{"payload": 1}]"#).await;
    assert!(answer.json()["tasks"][0].get("disposition").is_none(), "{answer:?}");
    for table in ["idempotency_keys", "unique_keys", "keyed_tasks"] {
        assert_eq!(app.database.number(&format!("SELECT count(*) FROM taskrow.{table}")).await, 0, "{table}");
    }
}
