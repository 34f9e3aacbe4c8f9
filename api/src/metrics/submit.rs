//! Submitting, and its group commits.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use queue::keyed::{Answered, How};

use super::http::LATENCIES;
use crate::submitter::SubmitError;

/// Upper ends of the buckets, in tasks.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0, 10_000.0];

type Reason = [(&'static str, &'static str); 1];

const QUEUE_FULL: Reason = [("reason", "queue_full")];
const STORED: Reason = [("outcome", "stored")];
const REPLAYED: Reason = [("outcome", "replayed")];
const KEPT: Reason = [("outcome", "kept")];
const REPLACED: Reason = [("outcome", "replaced")];
const REUSED: Reason = [("outcome", "key_reused")];
const IN_USE: Reason = [("outcome", "key_in_use")];

/// Counts submissions. Clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct SubmitMetrics {
    tasks: Counter,
    refused: Family<Reason, Counter>,
    durations: Histogram,
    flush_tasks: Histogram,
    flush_durations: Histogram,
    flush_failures: Counter,
    keyed: Family<Reason, Counter>,
}

impl Default for SubmitMetrics {
    fn default() -> Self {
        Self {
            tasks: Counter::default(),
            refused: Family::default(),
            durations: Histogram::new(LATENCIES),
            flush_tasks: Histogram::new(SIZES),
            flush_durations: Histogram::new(LATENCIES),
            flush_failures: Counter::default(),
            keyed: Family::default(),
        }
    }
}

impl SubmitMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        // Zeros from the start: a series that begins with its first error hides that error from rate().
        for error in [SubmitError::Full, SubmitError::Stopping, SubmitError::NotStored, SubmitError::Unknown] {
            drop(self.refused.get_or_create(&reason(error)));
        }
        drop(self.refused.get_or_create(&QUEUE_FULL));
        registry.register("api_submitted_tasks", "Tasks stored", self.tasks.clone());
        registry.register("api_submit_refused", "Submitting requests that were not acknowledged", self.refused.clone());
        registry.register_with_unit(
            "api_submit_duration",
            "From a request's tasks entering the buffer to their commit",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("api_flush_tasks", "Tasks stored by one statement", self.flush_tasks.clone());
        registry.register_with_unit(
            "api_flush_duration",
            "How long it took to store them",
            Unit::Seconds,
            self.flush_durations.clone(),
        );
        registry.register(
            "api_flush_failures",
            "Statements that failed or were not answered",
            self.flush_failures.clone(),
        );
        for outcome in [STORED, REPLAYED, KEPT, REPLACED, REUSED, IN_USE] {
            drop(self.keyed.get_or_create(&outcome));
        }
        registry.register(
            "api_keyed_submits",
            "Tasks submitted with a key, by what became of them; refused requests",
            self.keyed.clone(),
        );
    }

    /// A submission was stored.
    pub(crate) fn flushed(&self, tasks: usize, took: Duration) {
        self.tasks.inc_by(tasks as u64);
        self.flush_tasks.observe(tasks as f64);
        self.flush_durations.observe(took.as_secs_f64());
    }

    /// Tasks submitted with a key were answered.
    pub(crate) fn keyed(&self, tasks: &[Answered]) {
        for task in tasks {
            let outcome = match task.how {
                How::Stored => STORED,
                How::Replayed => REPLAYED,
                How::Kept => KEPT,
                How::Replaced => REPLACED,
            };
            self.keyed.get_or_create(&outcome).inc();
        }
        self.tasks.inc_by(tasks.iter().filter(|task| task.how == How::Stored).count() as u64);
    }

    /// A request came with an idempotency key that another request has used.
    pub(crate) fn key_reused(&self) {
        self.keyed.get_or_create(&REUSED).inc();
    }

    /// A request was refused because its key is held for too long.
    pub(crate) fn key_in_use(&self) {
        self.keyed.get_or_create(&IN_USE).inc();
    }

    /// A request was refused because its queue takes no more.
    pub(crate) fn queue_full(&self) {
        self.refused.get_or_create(&QUEUE_FULL).inc();
    }

    /// A try to store a submission failed.
    pub(crate) fn failed(&self) {
        self.flush_failures.inc();
    }

    /// A request was acknowledged.
    pub(crate) fn acknowledged(&self, took: Duration) {
        self.durations.observe(took.as_secs_f64());
    }

    /// A request was not acknowledged.
    pub(crate) fn refused(&self, error: SubmitError) {
        self.refused.get_or_create(&reason(error)).inc();
    }
}

fn reason(error: SubmitError) -> Reason {
    let reason = match error {
        SubmitError::Full => "full",
        SubmitError::Stopping => "stopping",
        SubmitError::NotStored => "not_stored",
        SubmitError::Unknown => "unknown",
    };
    [("reason", reason)]
}
