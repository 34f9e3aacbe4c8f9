//! Another backend, in both directions, with tasks in flight.

use dispatch::Dispatch;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use crate::{
    parts::{Load, Part, Redis, submit},
    store::Store,
    support::{Local, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_of_all_processes_loses_and_doubles_nothing() {
    let store = Store::new().await;
    let redis = Redis::start();
    let in_redis = redis.environment();
    let in_postgres = [("QUEUE_BACKEND", "postgres".to_owned()), ("REDIS_ADDR", redis.address())];
    let mut submitted = 0;
    for environment in [&in_postgres, &in_redis, &in_postgres, &in_redis] {
        let mut all = vec![("DATABASE_URL", store.url()), ("WORKER_CONCURRENCY", "4")];
        all.extend(environment.iter().map(|(name, value)| (*name, value.as_str())));
        let system = Local::start(&all).await;
        // Some are due later, most wait, some run.
        for _ in 0..20 {
            submit(&system.api, "?delay=1s", &json!(1)).await;
        }
        let load = Load::of(400);
        load.run(&[&system.api]).await;
        let sleep = json!({"ms": 300});
        join_all((0..50).map(|_| submit(&system.api, "?kind=sleep", &sleep))).await;
        submitted += 70 + load.tasks;
        eventually(async || {
            let counts = store.counts().await;
            if counts.processing > 0 && counts.done > 0 { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await;
        assert_eq!(system.stop(Signal::TERM).await, Some(0));
        let counts = store.counts().await;
        assert_eq!(counts.processing, 0, "a stop leaves nothing behind: {counts:?}");
        assert!(counts.done < submitted as i64, "there is something to take over: {counts:?}");
    }
    let system = Local::start(&[("DATABASE_URL", store.url())]).await;
    store.until_all_done_once(submitted).await;
    assert_eq!(system.stop(Signal::TERM).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_of_one_backend_and_a_worker_of_the_other() {
    for is_api_new in [true, false] {
        let store = Store::new().await;
        let redis = Redis::start();
        let backend = |is_redis| if is_redis { redis.dispatch() } else { Dispatch::default() };
        let api = Part::api(&store, backend(is_api_new)).await;
        let worker = Part::worker(&store, backend(!is_api_new)).await;
        let load = Load::of(2000);
        load.run(&[&api.url]).await;
        submit(&api.url, "?delay=100ms", &json!(1)).await;
        store.until_all_done_once(load.tasks + 1).await;
        api.stop().await;
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_switch_under_load() {
    let store = Store::new().await;
    let redis = Redis::start();
    let old = || Dispatch::default();
    let new = || redis.dispatch();
    let (old_api, new_api) = (Part::api(&store, old()).await, Part::api(&store, new()).await);
    let mut workers = [Part::worker(&store, old()).await, Part::worker(&store, old()).await];
    let load = Load::of(6000);
    let rollout = async {
        load.until(0.2).await;
        for (number, worker) in workers.iter_mut().enumerate() {
            // A new one is ready before an old one stops.
            let next = Part::worker(&store, new()).await;
            std::mem::replace(worker, next).stop().await;
            load.until(0.3 + 0.1 * number as f64).await;
        }
        // And back.
        for (number, worker) in workers.iter_mut().enumerate() {
            let next = Part::worker(&store, old()).await;
            std::mem::replace(worker, next).stop().await;
            load.until(0.6 + 0.1 * number as f64).await;
        }
    };
    let apis = [&old_api.url, &new_api.url].map(String::as_str);
    tokio::join!(load.run(&apis), rollout);
    store.until_all_done_once(load.tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_find_their_tasks_behind_many_stale_entries() {
    let store = Store::new().await;
    let redis = Redis::start();
    // Of tasks that were done meanwhile by workers of the other backend.
    let add = "for i = 1, 50000 do redis.call('XADD', 'taskrow:default#echo', '*', 'batch', ARGV[1]) end";
    redis.tell::<()>(&["EVAL", add, "0", "01932f5e-7b5c-7000-8000-000000000000"]).await;
    let api = Part::api(&store, redis.dispatch()).await;
    let worker = Part::worker(&store, redis.dispatch()).await;
    let load = Load::of(500);
    load.run(&[&api.url]).await;
    store.until_all_done_once(load.tasks).await;
    eventually(async || match redis.entries().await {
        0 => Ok(()),
        entries => Err(format!("{entries} entries are left")),
    })
    .await;
    api.stop().await;
    worker.stop().await;
}
