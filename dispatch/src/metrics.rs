//! What is counted in Redis mode.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) published: Counter,
    pub(crate) unpublished: Counter,
    pub(crate) delivered: Counter,
    pub(crate) stale: Counter,
    pub(crate) foreign: Counter,
    pub(crate) taken_over: Counter,
}

impl Metrics {
    /// Registers what a publisher counts; `process` is the prefix of the names.
    pub fn register_publisher(&self, process: &str, registry: &mut Registry) {
        for (name, help, counter) in [
            ("published_batches", "Batches told through Redis", &self.published),
            ("unpublished_batches", "Batches told by a wakeup, because Redis was away or slow", &self.unpublished),
        ] {
            registry.register(format!("{process}redis_{name}"), help, counter.clone());
        }
    }

    /// Registers what a source counts.
    pub fn register_source(&self, process: &str, registry: &mut Registry) {
        for (name, help, counter) in [
            ("delivered_batches", "Batches delivered by Redis", &self.delivered),
            ("stale_batches", "Batches delivered of which nothing was ready any more", &self.stale),
            ("foreign_entries", "Entries that are none of ours: acknowledged and ignored", &self.foreign),
            ("taken_over_entries", "Entries taken over from workers that did not acknowledge them", &self.taken_over),
        ] {
            registry.register(format!("{process}redis_{name}"), help, counter.clone());
        }
    }
}
