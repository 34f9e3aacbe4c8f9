//! What an idle worker costs.

use std::time::Duration;

use tokio::time::{self, Instant};

use crate::support::{
    eventually,
    process::{Process, ticks},
    queue::{Queue, task},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_with_default_settings_asks_twice_a_second_at_most() {
    let queue = Queue::new().await;
    let defaults = [("WORKER_LEASE_TTL", "30s"), ("WORKER_HEARTBEAT_INTERVAL", "5s"), ("WORKER_POLL_INTERVAL", "5s")];
    let worker = Process::start(&queue, &defaults);
    let id = queue.submit_one(task("echo", "1")).await;
    queue.done_at(&[id], 1).await;
    // Each of its statements is a transaction, and nobody else is in this database. Statistics of what came before arrive
    // some seconds late, so the first look may see more.
    let transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    eventually("two transactions a second, and a fiftieth of a processor", async || {
        let (before, busy, from) = (queue.count(transactions).await, ticks(worker.id()), Instant::now());
        time::sleep(Duration::from_secs(20)).await;
        let (after, seconds) = (queue.count(transactions).await, from.elapsed().as_secs_f64());
        let rate = (after - before) as f64 / seconds;
        let busy = (ticks(worker.id()) - busy) as f64 / 100.0 / seconds;
        (rate <= 2.0 && busy < 0.02).then_some(())
    })
    .await;
}
