//! A line a minute of what was done and what waits. Nothing per task is logged.

use std::{sync::Arc, time::Duration};

use queue::{overview::overview, session};
use service::backoff::jittered;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::incarnation::Shared;

const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    claimed: u64,
    done: u64,
    failed: u64,
    cancelled: u64,
    retried: u64,
    lease_lost: u64,
}

/// Logs until `stop`, unless nothing happened and nothing waits.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut link = shared.database.link(session::READ.named("totals"));
    let mut before = Totals::default();
    loop {
        tokio::select! {
            () = time::sleep(jittered(INTERVAL)) => {}
            () = stop.cancelled() => return,
        }
        let now = totals(&shared);
        let depth = tokio::select! {
            depth = link.run(async |connection| overview(connection).await) => depth.ok(),
            () = stop.cancelled() => return,
        };
        let mine = depth
            .iter()
            .flat_map(|overview| &overview.queues)
            .filter(|(name, _)| shared.config.queues.iter().any(|queue| queue.as_str() == name.as_str()));
        let (queued, scheduled) = mine.fold((0, 0), |(queued, scheduled), (_, queue)| {
            (queued + queue.total(|kind| kind.queued), scheduled + queue.total(|kind| kind.scheduled))
        });
        if now != before || queued > 0 {
            info!(
                claimed = now.claimed - before.claimed,
                done = now.done - before.done,
                failed = now.failed - before.failed,
                cancelled = now.cancelled - before.cancelled,
                retried = now.retried - before.retried,
                lease_lost = now.lease_lost - before.lease_lost,
                queued,
                scheduled,
                "totals of the last minute, and what waits in its queues"
            );
        }
        before = now;
    }
}

fn totals(shared: &Shared) -> Totals {
    let metrics = &shared.metrics;
    Totals {
        claimed: metrics.sum(|lane| &lane.claimed),
        done: metrics.sum(|lane| &lane.done),
        failed: metrics.sum(|lane| &lane.failed),
        cancelled: metrics.sum(|lane| &lane.cancelled),
        retried: metrics.sum(|lane| &lane.retried),
        lease_lost: metrics.sum(|lane| &lane.lease_lost),
    }
}
