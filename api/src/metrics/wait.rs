//! Waiting.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::http::LATENCIES;

/// Upper ends of the buckets, in tasks.
const SIZES: [f64; 6] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0];

/// Counts looks at tasks that somebody waits for. Clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct WaitMetrics {
    tasks: Histogram,
    durations: Histogram,
    failures: Counter,
}

impl Default for WaitMetrics {
    fn default() -> Self {
        Self { tasks: Histogram::new(SIZES), durations: Histogram::new(LATENCIES), failures: Counter::default() }
    }
}

impl WaitMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("api_look_tasks", "Tasks looked at by one statement for those who wait", self.tasks.clone());
        registry.register_with_unit("api_look_duration", "How long that took", Unit::Seconds, self.durations.clone());
        registry.register("api_look_failures", "Statements that failed or were not answered", self.failures.clone());
    }

    /// Tasks were looked at.
    pub(crate) fn looked(&self, tasks: usize, took: Duration) {
        self.tasks.observe(tasks as f64);
        self.durations.observe(took.as_secs_f64());
    }

    /// A look failed.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}
