//! Numbers that are read where they stand, when somebody scrapes.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use service::readiness::Readiness;

use crate::{reads::Reads, store::Store, submitter::Submitter, waits::Waits};

/// Buffers, pool and readiness.
#[derive(Debug)]
pub(super) struct Live {
    submitter: Submitter,
    reads: Reads,
    waits: Waits,
    store: Store,
    readiness: Readiness,
}

impl Live {
    pub(super) fn new(
        submitter: &Submitter,
        reads: &Reads,
        waits: &Waits,
        store: &Store,
        readiness: &Readiness,
    ) -> Self {
        let (submitter, reads, waits) = (submitter.clone(), reads.clone(), waits.clone());
        Self { submitter, reads, waits, store: store.clone(), readiness: readiness.clone() }
    }
}

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let fill = self.submitter.fill();
        let ready = self.readiness.report().ready;
        for (name, help, value) in [
            ("ready", "1 while /ready answers 200", i64::from(ready)),
            ("api_submit_buffer_tasks", "Tasks that wait to be stored", fill.tasks as i64),
            ("api_submit_buffer_bytes", "Memory of tasks that wait to be stored", fill.bytes as i64),
            ("api_submit_buffer_capacity_tasks", "Most tasks that may wait", fill.tasks_capacity as i64),
            ("api_submit_buffer_capacity_bytes", "Most memory that they may take", fill.bytes_capacity as i64),
            ("api_reads_waiting", "Requests for a task that no reader has taken yet", self.reads.waiting() as i64),
            ("api_waiters", "Requests that wait for a task", self.waits.waiting() as i64),
            ("api_waiters_capacity", "Most that may wait", self.waits.places() as i64),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        let help = "Requests answered without waiting, for too many waited";
        let metric = encoder.encode_descriptor("api_waits_refused", help, None, MetricType::Counter)?;
        ConstCounter::new(self.waits.refused()).encode(metric)?;
        let (open, idle) = self.store.connections();
        let mut family =
            encoder.encode_descriptor("api_database_connections", "Pooled connections", None, MetricType::Gauge)?;
        for (state, value) in [("busy", open.saturating_sub(idle)), ("idle", idle)] {
            ConstGauge::new(i64::from(value)).encode(family.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}
