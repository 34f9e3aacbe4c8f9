//! Group reads.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::http::LATENCIES;

/// Upper ends of the buckets, in tasks.
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Counts reads of tasks by id. Clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct ReadMetrics {
    tasks: Histogram,
    durations: Histogram,
    failures: Counter,
}

impl Default for ReadMetrics {
    fn default() -> Self {
        Self { tasks: Histogram::new(SIZES), durations: Histogram::new(LATENCIES), failures: Counter::default() }
    }
}

impl ReadMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("api_read_tasks", "Tasks asked for by one statement", self.tasks.clone());
        registry.register_with_unit(
            "api_read_duration",
            "How long it took to read them",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("api_read_failures", "Statements that failed or were not answered", self.failures.clone());
    }

    /// A group was read.
    pub(crate) fn read(&self, tasks: usize, took: Duration) {
        self.tasks.observe(tasks as f64);
        self.durations.observe(took.as_secs_f64());
    }

    /// A try to read a group failed.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}
