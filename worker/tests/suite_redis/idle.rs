//! What an idle worker costs.

use std::time::Duration;

use tokio::time::{self, Instant};

use crate::{
    server::Redis,
    support::{
        eventually,
        process::{Process, ticks},
        queue::task,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_asks_each_server_a_few_times_a_second_by_a_few_connections() {
    let redis = Redis::start();
    let queue = redis.queue().await;
    let defaults = [("WORKER_LEASE_TTL", "30s"), ("WORKER_HEARTBEAT_INTERVAL", "5s"), ("WORKER_POLL_INTERVAL", "5s")];
    let worker = Process::start(&queue, &defaults);
    let id = queue.submit_one(task("echo", "1")).await;
    queue.done_at(&[id], 1).await;
    let transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    // Statistics of what came before arrive some seconds late, so the first look may see more.
    eventually("four transactions and twenty commands a second, and a fiftieth of a processor", async || {
        let asked = async || redis.info("total_commands_processed").await;
        let (before, told, busy, from) =
            (queue.count(transactions).await, asked().await, ticks(worker.id()), Instant::now());
        time::sleep(Duration::from_secs(5)).await;
        let (after, told) = (queue.count(transactions).await, asked().await - told);
        let seconds = from.elapsed().as_secs_f64();
        let rate = (after - before) as f64 / seconds;
        let busy = (ticks(worker.id()) - busy) as f64 / 100.0 / seconds;
        (rate <= 4.0 && told as f64 / seconds <= 20.0 && busy < 0.02).then_some(())
    })
    .await;
    // The reader's and the watch's, that of the publisher here, the one that asks, and those that asked.
    let clients = redis.info("connected_clients").await;
    assert!(clients <= 6, "{clients}");
}
