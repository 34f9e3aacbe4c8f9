//! Redis beside Postgres: readiness, and submits that never wait for it.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use local_redis::Server;
use queue::{
    task::Name,
    wakeup::{Heard, Hint, listen},
};
use service::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::support::{App, Setup, TestDb, eventually};

const PUBLISHED: &str = "taskrow_api_redis_published_batches_total";
const UNPUBLISHED: &str = "taskrow_api_redis_unpublished_batches_total";

fn redis() -> Server {
    Server::start().unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until Redis, and nothing else, is missing.
async fn until_without_redis(app: &App) {
    eventually("Redis is missing", || async {
        let ready = app.get("/ready").await;
        let dependencies = &ready.json()["dependencies"];
        ready.status == 503 && dependencies["redis"] != "ok" && dependencies["postgres"] == "ok"
    })
    .await;
    assert_eq!(app.get("/ready").await.json()["dependencies"]["schema"], "ok");
    assert_eq!(app.get("/live").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_redis_and_submits_are_accepted_without_it() {
    let mut redis = redis();
    let app = Setup::default().beside(&redis).start().await;
    assert_eq!(app.get("/ready").await.json()["dependencies"]["redis"], "ok");
    for outage in 1..=3 {
        redis.kill().unwrap();
        until_without_redis(&app).await;
        let id = app.submit("", &outage.to_string()).await;
        assert_eq!(app.get(&format!("/tasks/{id}")).await.json()["status"], "queued");
        redis.start_again().unwrap();
        app.until_ready().await;
    }
    redis.pause().unwrap();
    until_without_redis(&app).await;
    app.submit("", "4").await;
    redis.resume().unwrap();
    app.until_ready().await;
    assert_eq!(app.database.number("SELECT count(*) FROM tasks WHERE status = 'queued'").await, 4);
}

#[tokio::test]
async fn an_api_that_starts_before_redis_becomes_ready() {
    let mut redis = redis();
    redis.kill().unwrap();
    let app = Setup::default().beside(&redis).not_ready().start().await;
    until_without_redis(&app).await;
    app.submit("", "1").await;
    redis.start_again().unwrap();
    app.until_ready().await;
}

#[tokio::test]
async fn in_postgres_mode_there_is_no_redis_to_be_missing() {
    let app = App::start().await;
    assert!(app.get("/ready").await.json()["dependencies"].get("redis").is_none());
    assert_eq!(app.metric(PUBLISHED).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_is_answered_before_redis_has_heard_of_it() {
    let redis = redis();
    let app = Setup::default().beside(&redis).start().await;
    // It is told otherwise after some seconds, so that a machine that stands still for so long has to try again.
    eventually("an answer came while Redis was silent", || async {
        eventually("Redis is told", || async {
            let before = app.metric(PUBLISHED).await;
            app.submit("", "1").await;
            app.metric(PUBLISHED).await > before
        })
        .await;
        let known = [app.metric(PUBLISHED).await, app.metric(UNPUBLISHED).await];
        redis.pause().unwrap();
        app.submit("", "1").await;
        let is_undecided = [app.metric(PUBLISHED).await, app.metric(UNPUBLISHED).await] == known;
        redis.resume().unwrap();
        is_undecided
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_redis_was_not_told_is_told_by_notify() {
    let redis = redis();
    let app = Setup::default().beside(&redis).start().await;
    let heard = Arc::new(Mutex::new(BTreeSet::new()));
    let (hear, stop) = (heard.clone(), CancellationToken::new());
    let listening = listen(TestDb::at(app.database.url()), stop.clone(), move |news| {
        if let Heard::Hint(hint) = news {
            hear.lock().unwrap().insert(hint);
        }
    });
    Tasks::new().spawn(listening);
    eventually("somebody listens", || async { heard.lock().unwrap().contains(&Hint::Anything) }).await;

    app.submit("?queue=by-redis", "1").await;
    eventually("it is published", || async { app.metric(PUBLISHED).await == Some(1.0) }).await;
    redis.pause().unwrap();
    let submits = (0..500).map(|number| {
        let app = &app;
        async move { app.submit(&format!("?queue=q{}", number % 10), "1").await }
    });
    assert_eq!(join_all(submits).await.into_iter().collect::<HashSet<_>>().len(), 500);
    let told = |queue: &str| heard.lock().unwrap().contains(&Hint::Work(Name::new(queue).unwrap()));
    eventually("every queue is told of", || async { (0..10).all(|number| told(&format!("q{number}"))) }).await;
    assert!(!told("by-redis"), "Redis had been told of it");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks WHERE status = 'queued'").await, 501);
    assert_eq!(app.metric(PUBLISHED).await, Some(1.0));
    stop.cancel();
}
