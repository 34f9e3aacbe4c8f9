//! What `/metrics` tells.
//!
//! | metric | type | labels | meaning |
//! |---|---|---|---|
//! | `taskrow_ready` | gauge | | 1 while `/ready` answers 200 |
//! | `taskrow_api_http_requests_total` | counter | method, route, status | requests answered |
//! | `taskrow_api_http_request_duration_seconds` | histogram | method, route | from the head of a request to the head of its answer; without those that waited for a task |
//! | `taskrow_api_http_connections` | gauge | | connections open |
//! | `taskrow_api_http_dismissed_connections_total` | counter | reason | connections closed for others: `room`, `slow_head` |
//! | `taskrow_api_access_refused_total` | counter | reason | requests refused by who sent them: `no_token`, `bad_token`, `unknown_token`, `scope`, `queue`, `rate` |
//! | `taskrow_api_tokens` | gauge | | tokens in the list; 0: everybody may do everything |
//! | `taskrow_api_tokens_stale` | gauge | | 1 while the file with the list is bad or gone, so that an older list still holds |
//! | `taskrow_api_submitted_tasks_total` | counter | | tasks stored |
//! | `taskrow_api_submit_refused_total` | counter | reason | submitting requests that were not acknowledged |
//! | `taskrow_api_submit_duration_seconds` | histogram | | from a request's tasks entering the buffer to their commit |
//! | `taskrow_api_submit_buffer_tasks`, `_bytes` | gauge | | what waits to be stored |
//! | `taskrow_api_submit_buffer_capacity_tasks`, `_bytes` | gauge | | most that may wait |
//! | `taskrow_api_flush_tasks` | histogram | | tasks stored by one statement |
//! | `taskrow_api_flush_duration_seconds` | histogram | | how long that took |
//! | `taskrow_api_flush_failures_total` | counter | | statements that failed or were not answered |
//! | `taskrow_api_keyed_submits_total` | counter | outcome | tasks submitted with a key: `stored`, `replayed`, `kept`, `replaced`; requests refused: `key_reused`, `key_in_use` |
//! | `taskrow_api_reads_waiting` | gauge | | requests for a task that no reader has taken yet |
//! | `taskrow_api_read_tasks` | histogram | | tasks asked for by one statement |
//! | `taskrow_api_read_duration_seconds` | histogram | | how long it took to read them |
//! | `taskrow_api_read_failures_total` | counter | | statements that failed or were not answered |
//! | `taskrow_api_waiters` | gauge | | requests that wait for a task, event streams included |
//! | `taskrow_api_waiters_capacity` | gauge | | most that may wait |
//! | `taskrow_api_waits_refused_total` | counter | | requests answered without waiting, for too many waited |
//! | `taskrow_api_look_tasks` | histogram | | tasks looked at by one statement for those who wait |
//! | `taskrow_api_look_duration_seconds` | histogram | | how long that took |
//! | `taskrow_api_look_failures_total` | counter | | statements that failed or were not answered |
//! | `taskrow_api_database_connections` | gauge | state | pooled connections, `busy` and `idle` |
//! | `taskrow_api_redis_published_batches_total` | counter | | batches told through Redis (Redis mode only) |
//! | `taskrow_api_redis_unpublished_batches_total` | counter | | batches told by a wakeup instead (Redis mode only) |
//! | `taskrow_queue_tasks` | gauge | queue, kind, status | open tasks: `queued`, `scheduled`, `processing` |
//! | `taskrow_queue_oldest_wait_seconds` | gauge | queue | how long the first in line has waited |
//! | `taskrow_queue_paused` | gauge | queue | 1 while paused |
//! | `taskrow_workers` | gauge | queue | live workers that take from the queue |
//! | `taskrow_queue_overview_age_seconds` | gauge | | how old the `taskrow_queue_*` numbers are |
//!
//! Numbers about queues come from Postgres, at most once in 15 s and only while somebody scrapes, by one query of the small tables
//! (see `queue::overview`). Every API process tells the same ones: aggregate them with `max`, not `sum`. The first scrape
//! after a pause has none or old ones.

mod access;
mod http;
mod live;
mod queues;
mod read;
mod submit;
mod wait;

use std::{fmt, sync::Arc};

use dispatch::Dispatch;
use prometheus_client::{encoding::text::encode, registry::Registry};
use service::{probes::RenderMetrics, readiness::Readiness, tokens::Tokens};

pub(crate) use self::{
    access::AccessMetrics,
    http::{HttpMetrics, ROOM, SLOW_HEAD},
    queues::{Scrapes, refresh_while_scraped},
    read::ReadMetrics,
    submit::SubmitMetrics,
    wait::WaitMetrics,
};
use crate::{overview::OverviewCache, reads::Reads, store::Store, submitter::Submitter, waits::Waits};

/// All metrics of one API.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pub(crate) http: HttpMetrics,
    pub(crate) access: AccessMetrics,
    pub(crate) submit: SubmitMetrics,
    pub(crate) read: ReadMetrics,
    pub(crate) wait: WaitMetrics,
    pub(crate) scrapes: Scrapes,
}

impl Metrics {
    #[expect(clippy::too_many_arguments, reason = "all parts that have numbers, once")]
    pub(crate) fn new(
        submitter: &Submitter,
        reads: &Reads,
        waits: &Waits,
        store: &Store,
        readiness: &Readiness,
        overview: &OverviewCache,
        dispatch: &Dispatch,
        tokens: Option<Tokens>,
    ) -> Self {
        let mut registry = Registry::with_prefix("taskrow");
        let http = HttpMetrics::default();
        http.register(&mut registry);
        let access = AccessMetrics::default();
        access.register(&mut registry, tokens);
        let submit = SubmitMetrics::default();
        submit.register(&mut registry);
        let read = ReadMetrics::default();
        read.register(&mut registry);
        let wait = WaitMetrics::default();
        wait.register(&mut registry);
        if let Some(metrics) = dispatch.metrics() {
            metrics.register_publisher("api_", &mut registry);
        }
        registry.register_collector(Box::new(live::Live::new(submitter, reads, waits, store, readiness)));
        registry.register_collector(Box::new(queues::Queues::new(overview)));
        Self { registry: Arc::new(registry), http, access, submit, read, wait, scrapes: Scrapes::default() }
    }

    /// What the `/metrics` route calls.
    pub(crate) fn render(&self) -> RenderMetrics {
        let metrics = self.clone();
        Arc::new(move || {
            metrics.scrapes.note();
            let mut text = String::new();
            match encode(&mut text, &metrics.registry) {
                Ok(()) => text,
                Err(fmt::Error) => String::new(),
            }
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
