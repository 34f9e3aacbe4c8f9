//! How workers learn which tasks to claim. There is one queue, in Postgres; this is only about news of it.
//!
//! | | `postgres` (default) | `redis` |
//! |---|---|---|
//! | who makes tasks ready | tells the queue's name by `NOTIFY` | adds the batch's id to a Redis stream |
//! | who wants tasks | claims what is first in its lanes | claims the batches that the stream delivers |
//! | what was missed | is found by polling | is found by polling |
//!
//! The two seams are [`Publisher`] and [`Source`]; nothing outside of this crate asks which backend there is. What Redis knows may be lost,
//! late or doubled at any time: a batch claimed before is passed over, and a batch that Redis forgot is found by the workers' poll, which
//! claims from the table as in Postgres mode. While Redis is away publishers tell by `NOTIFY`, and workers claim from the table.
//!
//! ```text
//! api, steward ── Publisher ──> taskrow:<queue>#<kind> ──> Source ── claim_batches ──> leases
//!                     └── Redis away: NOTIFY ──> claim ──> leases
//! ```
//!
//! In reading order: `streams`: names and entries; `publisher` and `source`: the two ends; `reader`: what a source does in the background; `link`:
//! connections; `complaints`: what of all that is worth a line in the log.

mod address;
mod args;
mod complaints;
mod link;
mod metrics;
mod publisher;
mod reader;
mod source;
mod streams;

use std::time::Duration;

use queue::{task::Lane, wakeup::Notifier, workers::WorkerId};
use service::{backoff::jittered, readiness::Readiness};
use tokio::time;
use tokio_util::sync::CancellationToken;

use self::link::Redis;
pub use self::{
    args::{Backend, DispatchArgs},
    metrics::Metrics,
    publisher::Publisher,
    reader::Reader,
    source::{Delivery, Source},
};

/// The name of the dependency in `/ready`.
const DEPENDENCY: &str = "redis";
/// Between two looks at Redis while it answers.
const CALM_INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks while it does not.
const EAGER_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two looks, however many errors others meet.
const PACE: Duration = Duration::from_millis(200);

/// The configured backend. Cheap to clone; the default is Postgres.
#[derive(Clone, Debug, Default)]
pub struct Dispatch {
    redis: Option<Redis>,
    metrics: Metrics,
}

impl Dispatch {
    /// What `/ready` has to wait for besides Postgres.
    pub fn dependencies(&self) -> &'static [&'static str] {
        if self.redis.is_some() { &[DEPENDENCY] } else { &[] }
    }

    /// The counters; none with the default backend.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.redis.as_ref().map(|_| &self.metrics)
    }

    /// The end for those who make tasks ready. `notifier` is run by the caller, the publisher by [`Publisher::run`].
    pub fn publisher(&self, notifier: Notifier) -> Publisher {
        Publisher::new(self.redis.clone(), notifier, self.metrics.clone())
    }

    /// The end for a worker that claims from these lanes, and what has to run in the background for it.
    pub fn source(&self, worker: WorkerId, lanes: &[Lane]) -> (Source, Reader) {
        source::open(self.redis.as_ref(), worker, lanes, &self.metrics)
    }

    /// Keeps `readiness` up to date until `stop`.
    pub async fn watch(self, readiness: Readiness, stop: CancellationToken) {
        let Some(redis) = self.redis else { return stop.cancelled().await };
        let mut link = redis.link();
        loop {
            let Some(answer) = stop.run_until_cancelled(link.probe()).await else { return };
            let interval = if answer.is_ok() { CALM_INTERVAL } else { EAGER_INTERVAL };
            readiness.set(DEPENDENCY, answer.map_err(|error| error.to_string()));
            tokio::select! {
                () = time::sleep(jittered(interval)) => {}
                () = async { time::sleep(PACE).await; redis.suspected().await } => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
