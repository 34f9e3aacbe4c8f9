//! Not only the first server found.

use std::time::Duration;

use local_redis::{Installation, Product};
use queue::Status;

use crate::{
    server::{Redis, have_looked, told_only},
    support::{
        queue::{task, tasks},
        worker::{builtin, slots, start},
    },
};

async fn serves(product: Product) {
    let installation = Installation::find_product(product).unwrap_or_else(|error| panic!("test redis: {error}"));
    let mut redis = Redis::of(&installation, &[]);
    let queue = redis.queue().await;
    let told = start(builtin(), told_only(), queue.servers());
    have_looked(&queue, 1).await;
    for _ in 0..10 {
        let id = queue.submit_one(task("echo", "1")).await;
        queue.reaches(id, Status::Done).await;
    }
    assert_eq!(told.metric("taskrow_worker_redis_delivered_batches_total"), 10);
    redis.is_empty().await;
    told.stop(Duration::from_secs(30)).await;
    for stream in redis.streams().await {
        assert!(redis.consumers(&stream).await.is_empty(), "{stream}");
    }

    let worker = start(builtin(), slots(5), queue.servers());
    let mut ids = queue.submit(tasks(300, "sleep", r#"{"ms": 5}"#)).await;
    redis.ok(&["FLUSHALL"]).await;
    ids.extend(queue.submit(tasks(300, "sleep", r#"{"ms": 5}"#)).await);
    worker.ready().await;
    redis.kill();
    worker.misses("redis").await;
    ids.extend(queue.submit(tasks(100, "echo", "1")).await);
    redis.start_again();
    worker.ready().await;
    queue.done_at(&ids, 1).await;
    redis.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_serves() {
    serves(Product::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_serves() {
    serves(Product::Valkey).await;
}
