//! The connection that hears wakeups. Every backend has the same.

use std::time::Duration;

use worker::WorkerConfig;

use crate::{
    conformance::wakeups::{deaf_without_wakeups, is_woken, listens},
    support::{
        proxy::{Mode, Proxy},
        queue::Queue,
        worker::{builtin, start},
    },
};

/// A half-open connection looks like silence; the listener's own probe tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_on_a_silent_connection_is_replaced() {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let long_lease = WorkerConfig { lease_ttl: Duration::from_secs(3600), ..deaf_without_wakeups() };
    let worker = start(builtin(), long_lease, queue.servers_by(&proxy));
    listens(&worker, true).await;
    proxy.set(Mode::Stall);
    listens(&worker, false).await;
    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);
    listens(&worker, true).await;
    is_woken(&queue).await;
}
