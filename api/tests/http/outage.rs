//! Postgres is away, and comes back.

use std::time::Duration;

use futures_util::future::join_all;

use crate::support::{Answer, Blocked, Proxy, Setup, TestDb, eventually};

fn impatient() -> Setup {
    Setup::with(|args| args.http.request_timeout = Duration::from_secs(2).into())
}

/// A connection that was open may have taken the statement with it: then the outcome counts as unknown.
#[track_caller]
fn unavailable(answer: &Answer) {
    let slug = if answer.text.contains("outcome-unknown") { "outcome-unknown" } else { "database-unavailable" };
    answer.problem(503, slug);
}

/// Cuts the connection of a statement that waits for the lock. Its backend does not notice, and goes on once the second try waits, too.
async fn lose_an_answer(database: &TestDb, proxy: &Proxy, blocked: Blocked) {
    eventually("the statement waits for the lock", || async { database.waiting().await == 1 }).await;
    proxy.cut();
    proxy.mend();
    eventually("the second try waits too", || async { database.waiting().await == 2 }).await;
    blocked.release().await;
}

#[tokio::test]
async fn the_api_starts_before_postgres_and_recovers_from_every_outage() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    proxy.cut();
    let app = impatient().through(&proxy).on(database).not_ready().start().await;
    for outage in 0..2 {
        assert_eq!(app.get("/live").await.status, 200);
        eventually("not ready", || async { app.get("/ready").await.status == 503 }).await;
        assert_ne!(app.get("/ready").await.json()["dependencies"]["postgres"], "ok");
        let reads =
            ["/tasks/019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40", "/tasks", "/queues", "/workers"].map(|path| app.get(path));
        let (submit, pause, reads) =
            tokio::join!(app.post_json("/tasks", "1"), app.post("/queues/default/pause"), join_all(reads));
        unavailable(&submit);
        unavailable(&pause);
        for read in reads {
            read.problem(503, "database-unavailable");
        }

        proxy.mend();
        app.until_ready().await;
        let id = app.submit("", &outage.to_string()).await;
        assert_eq!(app.get(&format!("/tasks/{id}")).await.json()["payload"], outage);
        proxy.cut();
    }
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 2, "what got a 503 is not stored");
}

#[tokio::test]
async fn one_failed_request_is_enough_to_turn_not_ready() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let app = impatient().through(&proxy).on(database).start().await;
    app.submit("", "1").await;
    proxy.cut();
    unavailable(&app.post_json("/tasks", "1").await);
    assert_eq!(app.get("/ready").await.status, 503);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_and_not_repeated() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let app = Setup::default().through(&proxy).on(database).start().await;
    let blocked = app.database.block().await;
    let post = app.post_json("/tasks", r#""once""#);
    let (answer, ()) = tokio::join!(post, lose_an_answer(&app.database, &proxy, blocked));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
    assert_eq!(app.get(answer.header("location")).await.json()["payload"], "once");
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_is_repeated() {
    let database = TestDb::migrated().await;
    let proxy = Proxy::before(&database).await;
    let app = Setup::default().through(&proxy).on(database).start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let blocked = app.database.block().await;
    let (answer, ()) = tokio::join!(app.get(&path), lose_an_answer(&app.database, &proxy, blocked));
    assert_eq!(answer.json()["payload"], 1);
}

#[tokio::test]
async fn silence_is_told_as_an_unknown_outcome() {
    let app = impatient().start().await;
    let blocked = app.database.block().await;
    app.post_json("/tasks", "1").await.problem(503, "outcome-unknown");
    blocked.release().await;
    eventually("here it was stored after all", || async {
        app.database.number("SELECT count(*) FROM tasks").await == 1
    })
    .await;
}

#[tokio::test]
async fn dead_connections_are_replaced_unnoticed() {
    let app = Setup::default().start().await;
    let path = format!("/tasks/{}", app.submit("", "1").await);
    let reads = ["/tasks", &path].into_iter().cycle().take(16).map(|path| app.get(path));
    assert!(join_all(reads).await.iter().all(|answer| answer.status == 200));
    app.database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    assert_eq!(app.get("/tasks").await.status, 200);
    let reads = join_all((0..4).map(|_| app.get(&path))).await;
    assert!(reads.iter().all(|answer| answer.status == 200), "{reads:?}");
    app.submit("", "1").await;
}
