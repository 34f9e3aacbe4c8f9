//! Redis forgets, dies, is away.

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use crate::{
    parts::{Load, Part, Redis, metric, submit, submit_batch, submit_batch_of, until_ready, until_without_redis},
    store::Store,
    support::{Local, eventually},
};

/// A `dev` process on a database and a Redis.
async fn local(store: &Store, redis: &Redis, more: &[(&str, &str)]) -> Local {
    let environment = redis.environment();
    let mut all = vec![("DATABASE_URL", store.url())];
    all.extend(environment.iter().map(|(name, value)| (*name, value.as_str())));
    all.extend(more);
    Local::start(&all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_is_done_once_through_flushes_and_crashes_of_redis() {
    let store = Store::new().await;
    let mut redis = Redis::start();
    let systems = [local(&store, &redis, &[]).await, local(&store, &redis, &[]).await];
    let load = Load::of(20_000);
    let trouble = async {
        load.until(0.2).await;
        redis.ask::<()>("FLUSHALL").await;
        load.until(0.4).await;
        redis.kill();
        load.until(0.6).await;
        redis.start_again();
        load.until(0.8).await;
        redis.kill();
        redis.start_again();
        load.until(0.9).await;
        redis.ask::<()>("FLUSHALL").await;
    };
    let apis = [&systems[0].api, &systems[1].api].map(String::as_str);
    tokio::join!(load.run(&apis), trouble);
    store.until_all_done_once(load.tasks).await;
    for system in &systems {
        until_ready(&system.api).await;
        until_ready(&system.worker).await;
        assert!(metric(&system.api, "taskrow_api_redis_published_batches_total").await > 0);
        assert!(metric(&system.worker, "taskrow_worker_redis_delivered_batches_total").await > 0);
    }
    for system in systems {
        assert_eq!(system.stop(Signal::TERM).await, Some(0));
    }
    assert_eq!(store.counts().await.done, 20_000);
    assert_eq!(redis.entries().await, 0, "what is done leaves nothing in Redis");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_forgot_is_found_in_the_table() {
    for is_crash in [false, true] {
        let store = Store::new().await;
        let mut redis = Redis::start();
        let system = local(&store, &redis, &[("WORKER_CONCURRENCY", "4")]).await;
        // Slots are full, so that what follows waits in Redis.
        let sleepers = fill_slots(&system, &store).await;
        let load = Load::of(2000);
        load.run(&[&system.api]).await;
        eventually(async || (redis.entries().await > 0).then_some(())).await;
        if is_crash {
            redis.kill();
            redis.start_again();
        } else {
            redis.ask::<()>("FLUSHALL").await;
        }
        assert_eq!((redis.entries().await, store.counts().await.done), (0, 0));
        cancel(&system, &sleepers).await;
        store.until_all_done_once(load.tasks).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_lane_lost_does_not_wait_until_another_is_empty() {
    let store = Store::new().await;
    let redis = Redis::start();
    let system = local(&store, &redis, &[("WORKER_CONCURRENCY", "4"), ("WORKER_PREFETCH", "0")]).await;
    let sleepers = fill_slots(&system, &store).await;
    submit_batch(&system.api, 1000).await;
    eventually(async || (redis.ask::<usize>("DEL taskrow:default#echo").await == 1).then_some(())).await;
    // What came seconds later is told before it, and more of it than there is room for all the time.
    eventually(async || (store.number(WAITED_S).await >= 3).then_some(())).await;
    submit_batch_of(&system.api, 5000, &json!({"kind": "sleep", "payload": {"ms": 10}})).await;
    cancel(&system, &sleepers).await;

    let done = async |kind| {
        let query = "SELECT count(*) FROM tasks WHERE status = 'done' AND kind = ";
        store.number(&format!("{query}'{kind}'")).await
    };
    eventually(async || match done("echo").await {
        1000 => Ok(()),
        found => Err(format!("{found} of the lost ones are done, {} of the others", done("sleep").await)),
    })
    .await;
    let others = done("sleep").await;
    assert!(others < 5000, "{others} of the other lane were done first");
}

/// For how many seconds the oldest task that waits has waited.
const WAITED_S: &str = "SELECT coalesce(floor(extract(epoch FROM clock_timestamp() - min(created_at))), 0) FROM tasks WHERE status = 'queued'";

/// Gives a worker with four slots something to do until it is cancelled.
async fn fill_slots(system: &Local, store: &Store) -> Vec<String> {
    let hour = json!({"ms": 3_600_000});
    let sleeps = [(); 4].map(|()| submit(&system.api, "?kind=sleep", &hour));
    let sleepers = join_all(sleeps).await;
    eventually(async || (store.counts().await.processing == 4).then_some(())).await;
    sleepers
}

async fn cancel(system: &Local, tasks: &[String]) {
    for id in tasks {
        let url = format!("{}/tasks/{id}", system.api);
        assert!(reqwest::Client::new().delete(url).send().await.unwrap().status().is_success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nothing_is_ready_and_everything_works() {
    let store = Store::new().await;
    let mut redis = Redis::start();
    // Nothing is found by polling: what runs was told of.
    let system = local(&store, &redis, &[("WORKER_POLL_INTERVAL", "1day")]).await;
    for outage in 1..=3 {
        redis.kill();
        until_without_redis(&system.api).await;
        until_without_redis(&system.worker).await;
        let delivered = metric(&system.worker, "taskrow_worker_redis_delivered_batches_total").await;
        for done in 1..=5 {
            submit(&system.api, "", &json!(1)).await;
            store.until_all_done_once((outage - 1) * 7 + done).await;
        }
        // Due while Redis is away: the worker tells itself.
        submit(&system.api, "?delay=100ms", &json!(1)).await;
        store.until_all_done_once((outage - 1) * 7 + 6).await;
        assert_eq!(metric(&system.worker, "taskrow_worker_redis_delivered_batches_total").await, delivered);

        redis.start_again();
        until_ready(&system.api).await;
        until_ready(&system.worker).await;
        submit(&system.api, "", &json!(1)).await;
        store.until_all_done_once(outage * 7).await;
    }
    // And by Redis again.
    let before = metric(&system.worker, "taskrow_worker_redis_delivered_batches_total").await;
    let mut tasks = 21;
    eventually(async || {
        submit(&system.api, "", &json!(1)).await;
        tasks += 1;
        let delivered = metric(&system.worker, "taskrow_worker_redis_delivered_batches_total").await;
        (delivered > before).then_some(())
    })
    .await;
    store.until_all_done_once(tasks).await;
    assert_eq!(system.stop(Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_that_starts_before_redis_works_and_becomes_ready() {
    let store = Store::new().await;
    let mut redis = Redis::start();
    redis.kill();
    let api = Part::starting_api(&store, redis.dispatch()).await;
    let worker = Part::starting_worker(&store, redis.dispatch()).await;
    until_without_redis(&api.url).await;
    until_without_redis(&worker.url).await;
    submit(&api.url, "", &json!(1)).await;
    store.until_all_done_once(1).await;
    redis.start_again();
    until_ready(&api.url).await;
    until_ready(&worker.url).await;
    api.stop().await;
    worker.stop().await;
}
