//! A worker inside the test's process.

use std::{sync::Arc, time::Duration};

use dispatch::Dispatch;
use service::{
    database::Database,
    readiness::{Readiness, Report},
    tasks::Tasks,
};
use tokio_util::sync::CancellationToken;
use worker::{
    Builder, Context, TaskError, Worker, WorkerConfig, config::WorkerConfig as Config, metrics::Metrics,
    retry::RetrySchedule,
};

use super::{eventually, queue::name};

/// Fast, with a lease long enough for a busy machine.
pub(crate) fn config() -> Config {
    WorkerConfig {
        lease_ttl: Duration::from_secs(20),
        heartbeat_interval: Duration::from_millis(200),
        poll_interval: Duration::from_millis(100),
        cancel_grace: Duration::from_millis(300),
        drain_budget: Duration::from_secs(20),
        retry: RetrySchedule { base: Duration::from_millis(10), cap: Duration::from_millis(50) },
        ..WorkerConfig::default()
    }
}

/// With so many slots.
pub(crate) fn slots(concurrency: u32) -> Config {
    Config { concurrency, ..config() }
}

/// That takes from these queues.
pub(crate) fn of_queues(queues: &[&str]) -> Config {
    Config { queues: queues.iter().map(|queue| name(queue)).collect(), ..config() }
}

/// A worker that runs. Dropping it tells it to stop.
pub(crate) struct Running {
    stop: CancellationToken,
    tasks: Tasks,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Arc<Metrics>,
}

/// What a worker connects to.
pub(crate) struct Servers {
    pub(crate) database: Database,
    pub(crate) dispatch: Dispatch,
}

/// Starts a worker.
pub(crate) fn start(builder: Builder, config: Config, servers: Servers) -> Running {
    let worker = builder.dispatch(servers.dispatch).build(config, servers.database);
    let (stop, tasks) = (CancellationToken::new(), Tasks::new());
    let (readiness, metrics) = (worker.readiness(), worker.metrics());
    tasks.spawn(worker.run(stop.clone()));
    Running { stop, tasks, readiness, metrics }
}

/// With the handlers of the binary.
pub(crate) fn builtin() -> Builder {
    worker::with_builtin_handlers(Worker::builder())
}

/// A handler that starts and never ends by itself.
pub(crate) async fn endless(_: Context) -> Result<(), TaskError> {
    std::future::pending().await
}

impl Running {
    /// Tells it to stop without waiting.
    pub(crate) fn tell_stop(&self) {
        self.stop.cancel();
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(self, limit: Duration) {
        self.stop.cancel();
        assert!(self.tasks.finish(limit).await, "the worker did not stop within {limit:?}");
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        eventually("the worker is ready", async || self.readiness.report().ready.then_some(())).await;
    }

    /// Waits until it is not ready, for this dependency.
    pub(crate) async fn misses(&self, dependency: &str) -> Report {
        eventually(&format!("the worker misses {dependency}"), async || {
            let report = self.readiness.report();
            (!report.ready && report.dependencies[dependency].is_err()).then_some(report)
        })
        .await
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, metric: &str) -> u64 {
        let text = self.metrics.render();
        let of_metric = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines().filter(of_metric).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
            as u64
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
