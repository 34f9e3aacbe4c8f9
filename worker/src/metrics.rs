//! What a worker counts. Prometheus names, all starting with `taskrow_worker_`:
//!
//! | name | labels | what |
//! |---|---|---|
//! | `claimed_tasks_total` | queue, kind | tasks claimed |
//! | `finished_tasks_total` | queue, kind, outcome (`done`, `failed`, `cancelled`) | outcomes recorded |
//! | `retried_tasks_total` | queue, kind | failed attempts that another one follows |
//! | `returned_tasks_total` | queue, kind | tasks given back without burning an attempt |
//! | `lease_lost_tasks_total` | queue, kind | outcomes not written because the lease was gone |
//! | `rescued_tasks_total` | | tasks of dead workers given back by this one |
//! | `callbacks_total` | | tasks made to tell the end of others |
//! | `dead_workers_total` | | workers this one found dead |
//! | `fenced_total` | | times this worker was found dead by others and started over |
//! | `wait_seconds` | queue, kind | histogram: from ready to claimed |
//! | `run_seconds` | queue, kind | histogram: one attempt |
//! | `buffered_tasks`, `running_tasks` | | gauges: claimed and waiting; running |
//! | `slots` | | gauge: tasks it can run at once |
//! | `listening` | | gauge: 1 while wakeups arrive, 0 while it only polls |
//! | `tokens_stale` | | gauge: 1 while the file with the API tokens is bad or gone, so that an older list still holds |
//!
//! And in Redis mode:
//!
//! | name | labels | what |
//! |---|---|---|
//! | `redis_delivered_batches_total` | | batches delivered by Redis |
//! | `redis_stale_batches_total` | | those of which nothing was ready any more |
//! | `redis_foreign_entries_total` | | entries that are none of ours: acknowledged and ignored |
//! | `redis_taken_over_entries_total` | | entries taken over from workers that did not acknowledge them |
//! | `redis_published_batches_total` | | batches that came due, told through Redis |
//! | `redis_unpublished_batches_total` | | batches that came due, told by a wakeup instead |

use std::{collections::BTreeMap, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use queue::task::Lane;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    queue: String,
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    queue: String,
    kind: String,
    outcome: &'static str,
}

/// The counters of one lane, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct LaneMetrics {
    pub(crate) claimed: Counter,
    pub(crate) done: Counter,
    pub(crate) failed: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) retried: Counter,
    pub(crate) returned: Counter,
    pub(crate) lease_lost: Counter,
    pub(crate) wait: Histogram,
    pub(crate) run: Histogram,
}

/// All metrics of a worker process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(crate) lanes: BTreeMap<Lane, LaneMetrics>,
    pub(crate) rescued_tasks: Counter,
    pub(crate) callbacks: Counter,
    pub(crate) dead_workers: Counter,
    pub(crate) fenced: Counter,
    pub(crate) buffered: Gauge,
    pub(crate) running: Gauge,
    pub(crate) listening: Gauge,
    pub(crate) tokens_stale: Gauge,
}

impl Metrics {
    pub(crate) fn new(lanes: &[Lane], concurrency: u32, dispatch: Option<&dispatch::Metrics>) -> Self {
        let mut registry = Registry::with_prefix("taskrow_worker");
        if let Some(metrics) = dispatch {
            metrics.register_publisher("", &mut registry);
            metrics.register_source("", &mut registry);
        }
        let claimed = Family::<LaneLabels, Counter>::default();
        let finished = Family::<OutcomeLabels, Counter>::default();
        let retried = Family::<LaneLabels, Counter>::default();
        let returned = Family::<LaneLabels, Counter>::default();
        let lease_lost = Family::<LaneLabels, Counter>::default();
        let wait = Family::<LaneLabels, Histogram>::new_with_constructor(seconds);
        let run = Family::<LaneLabels, Histogram>::new_with_constructor(seconds);
        registry.register("claimed_tasks", "Tasks claimed", claimed.clone());
        registry.register("finished_tasks", "Outcomes recorded", finished.clone());
        registry.register("retried_tasks", "Failed attempts that another one follows", retried.clone());
        registry.register("returned_tasks", "Tasks given back without burning an attempt", returned.clone());
        registry.register("lease_lost_tasks", "Outcomes not written: the lease was gone", lease_lost.clone());
        registry.register("wait_seconds", "From ready to claimed", wait.clone());
        registry.register("run_seconds", "One attempt", run.clone());
        let lanes = lanes.iter().map(|lane| {
            let labels = LaneLabels { queue: lane.queue.to_string(), kind: lane.kind.to_string() };
            let outcome = |outcome| {
                let LaneLabels { queue, kind } = labels.clone();
                finished.get_or_create_owned(&OutcomeLabels { queue, kind, outcome })
            };
            let metrics = LaneMetrics {
                claimed: claimed.get_or_create_owned(&labels),
                done: outcome("done"),
                failed: outcome("failed"),
                cancelled: outcome("cancelled"),
                retried: retried.get_or_create_owned(&labels),
                returned: returned.get_or_create_owned(&labels),
                lease_lost: lease_lost.get_or_create_owned(&labels),
                wait: wait.get_or_create_owned(&labels),
                run: run.get_or_create_owned(&labels),
            };
            (lane.clone(), metrics)
        });
        let lanes = lanes.collect();
        let slots: Gauge = gauge(&mut registry, "slots", "Tasks it can run at once");
        slots.set(concurrency.into());
        Self {
            lanes,
            rescued_tasks: counter(&mut registry, "rescued_tasks", "Tasks of dead workers given back"),
            callbacks: counter(&mut registry, "callbacks", "Tasks made to tell the end of others"),
            dead_workers: counter(&mut registry, "dead_workers", "Workers found dead"),
            fenced: counter(&mut registry, "fenced", "Times found dead by others"),
            buffered: gauge(&mut registry, "buffered_tasks", "Claimed and waiting for a slot"),
            running: gauge(&mut registry, "running_tasks", "Running"),
            listening: gauge(&mut registry, "listening", "1 while wakeups arrive"),
            tokens_stale: gauge(&mut registry, "tokens_stale", "1 while an older list of tokens holds"),
            registry,
        }
    }

    /// The counters of a lane.
    pub(crate) fn lane(&self, lane: &Lane) -> &LaneMetrics {
        self.lanes.get(lane).expect("a worker only meets its own lanes")
    }

    /// OpenMetrics text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }

    /// A counter summed over lanes.
    pub(crate) fn sum(&self, counter: impl Fn(&LaneMetrics) -> &Counter<u64, AtomicU64>) -> u64 {
        self.lanes.values().map(|lane| counter(lane).get()).sum()
    }
}

impl LaneMetrics {
    pub(crate) fn ran(&self, time: Duration) {
        self.run.observe(time.as_secs_f64());
    }
}

/// 0.5 ms to about two hours.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 3.0, 16))
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}
