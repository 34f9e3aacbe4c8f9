//! Numbers about queues: asked of Postgres now and then, told from memory.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use queue::overview::{KindOverview, Overview};
use service::backoff::jittered;
use tokio::{sync::Notify, time, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::overview::OverviewCache;

/// Shortest time between two questions to Postgres.
const INTERVAL: Duration = Duration::from_secs(15);
/// For how long after a scrape the numbers are kept fresh: longer than the usual times between scrapes.
const INTEREST: Duration = Duration::from_secs(150);
/// Most queues told; names come from clients, and a monitoring system suffers from too many.
const QUEUES_LIMIT: usize = 500;
/// Most kinds told per queue.
const KINDS_LIMIT: usize = 50;

/// When somebody scraped last. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrapes {
    last: Arc<Mutex<Option<Instant>>>,
    noted: Arc<Notify>,
}

impl Scrapes {
    /// Somebody scrapes now.
    pub(crate) fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.noted.notify_one();
    }

    fn are_recent(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < INTEREST)
    }
}

/// Keeps the overview fresh while somebody scrapes, until `stop`.
pub(crate) async fn refresh_while_scraped(overview: OverviewCache, scrapes: Scrapes, stop: CancellationToken) {
    let refresh = async {
        loop {
            if !scrapes.are_recent() {
                scrapes.noted.notified().await;
            }
            if let Err(error) = overview.get(INTERVAL).await {
                debug!(%error, "no numbers about queues");
            }
            time::sleep(jittered(INTERVAL)).await;
        }
    };
    tokio::select! {
        () = refresh => {}
        () = stop.cancelled() => {}
    }
}

/// Tells the last overview.
#[derive(Debug)]
pub(super) struct Queues {
    overview: OverviewCache,
}

impl Queues {
    pub(super) fn new(overview: &OverviewCache) -> Self {
        Self { overview: overview.clone() }
    }
}

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some((age, overview)) = self.overview.last_seen() else { return Ok(()) };
        let help = "How old the numbers about queues are";
        let metric = encoder.encode_descriptor("queue_overview_age_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(age.as_secs_f64()).encode(metric)?;
        encode_tasks(&mut encoder, &overview)?;
        for (name, help, values) in by_queue(&overview) {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (queue, value) in values {
                ConstGauge::new(value).encode(family.encode_family(&[("queue", queue)])?)?;
            }
        }
        Ok(())
    }
}

fn encode_tasks(encoder: &mut DescriptorEncoder<'_>, overview: &Overview) -> Result<(), std::fmt::Error> {
    type Count = fn(&KindOverview) -> u64;
    const STATES: [(&str, Count); 3] =
        [("queued", |kind| kind.queued), ("scheduled", |kind| kind.scheduled), ("processing", |kind| kind.processing)];
    let mut family = encoder.encode_descriptor("queue_tasks", "Open tasks", None, MetricType::Gauge)?;
    for (queue, kinds) in overview.queues.iter().take(QUEUES_LIMIT) {
        for (kind, numbers) in kinds.kinds.iter().take(KINDS_LIMIT) {
            for (status, count) in STATES {
                let labels = [("queue", queue.as_str()), ("kind", kind.as_str()), ("status", status)];
                ConstGauge::new(count(numbers) as i64).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

type ByQueue<'a> = (&'static str, &'static str, Vec<(&'a str, f64)>);

fn by_queue(overview: &Overview) -> [ByQueue<'_>; 3] {
    let queues = || overview.queues.iter().take(QUEUES_LIMIT).map(|(name, queue)| (name.as_str(), queue));
    let waits = queues().map(|(name, queue)| (name, queue.oldest_wait().unwrap_or_default().as_secs_f64())).collect();
    let pauses = queues().map(|(name, queue)| (name, f64::from(u8::from(queue.paused_at.is_some())))).collect();
    let workers = queues().map(|(name, queue)| (name, queue.workers as f64)).collect();
    [
        ("queue_oldest_wait_seconds", "How long the first in line has waited", waits),
        ("queue_paused", "1 while paused", pauses),
        ("workers", "Live workers that take from the queue", workers),
    ]
}
