//! Requests and connections.

use std::{sync::atomic::AtomicI64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper ends of the buckets, in seconds.
pub(super) const LATENCIES: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// All places were taken, and somebody came.
pub(crate) const ROOM: &str = "room";
/// A head came too slowly.
pub(crate) const SLOW_HEAD: &str = "slow_head";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dismissed {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

/// Counts requests. Clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: Family<Answered, Counter>,
    durations: Family<Route, Histogram>,
    pub(crate) connections: Gauge<i64, AtomicI64>,
    dismissed: Family<Dismissed, Counter>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(LATENCIES)),
            connections: Gauge::default(),
            dismissed: Family::default(),
        }
    }
}

impl HttpMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("api_http_requests", "Requests answered", self.requests.clone());
        registry.register_with_unit(
            "api_http_request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("api_http_connections", "Connections open", self.connections.clone());
        // Zeros from the start, as of refused submits.
        for reason in [ROOM, SLOW_HEAD] {
            drop(self.dismissed.get_or_create(&Dismissed { reason }));
        }
        registry.register("api_http_dismissed_connections", "Connections closed for others", self.dismissed.clone());
    }

    /// A connection without a request under way was closed.
    pub(crate) fn dismissed(&self, reason: &'static str) {
        self.dismissed.get_or_create(&Dismissed { reason }).inc();
    }

    /// A request was answered, and how long that took, unless it waited. `route` is the route's pattern, so there are few.
    pub(crate) fn answered(&self, method: &'static str, route: &str, status: u16, took: Option<Duration>) {
        self.requests.get_or_create(&Answered { method, route: route.to_owned(), status }).inc();
        if let Some(took) = took {
            self.durations.get_or_create(&Route { method, route: route.to_owned() }).observe(took.as_secs_f64());
        }
    }
}
