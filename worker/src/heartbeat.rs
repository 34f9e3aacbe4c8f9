//! Says that this worker lives, and hears what was cancelled and what is paused.

use std::sync::Arc;

use queue::{
    session,
    workers::{Pulse, WorkerId, heartbeat},
};
use service::backoff::{Backoff, jittered};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{finisher::Completed, incarnation::Shared, running::Running};

/// Beats until `stop`. Cancels `fence` when other workers have found this one dead, or must be assumed to have: no
/// heartbeat arrived for as long as the lease lasts.
pub(crate) async fn run(
    shared: Arc<Shared>,
    worker: WorkerId,
    running: Running,
    completed: mpsc::WeakSender<Completed>,
    stop: CancellationToken,
    fence: CancellationToken,
) {
    let mut link = shared.database.link(session::VOLATILE.named("heartbeat"));
    let mut backoff = Backoff::default();
    // The lease is counted from before the last heartbeat that arrived was sent, so that this clock never runs late.
    let mut alive_at = Instant::now();
    loop {
        let sent_at = Instant::now();
        let lease_ends = alive_at + shared.config.lease_ttl;
        let beat = link.run(async |connection| heartbeat(connection, worker).await);
        let pulse = tokio::select! {
            pulse = time::timeout_at(lease_ends, beat) => pulse,
            () = stop.cancelled() => return,
        };
        let wait = match pulse {
            Ok(Ok(Pulse::Alive { cancelled, paused })) => {
                alive_at = sent_at;
                backoff.reset();
                shared.readiness.set("postgres", Ok(()));
                running.cancel(&cancelled);
                let unwanted =
                    shared.buffer.remove(|task| cancelled.contains(&task.id) || paused.contains(&task.lane.queue));
                give_back(&completed, unwanted).await;
                jittered(shared.config.heartbeat_interval)
            }
            Ok(Ok(Pulse::Fenced)) => {
                warn!(worker.id = worker.0, "found dead by another worker: stopping all its tasks");
                fence.cancel();
                return;
            }
            Ok(Err(error)) => {
                shared.readiness.set("postgres", Err(error.to_string()));
                backoff.next_wait()
            }
            Err(_) => backoff.next_wait(),
        };
        if lease_ends <= Instant::now() && alive_at != sent_at {
            warn!(worker.id = worker.0, "no heartbeat for the length of a lease: stopping all its tasks");
            fence.cancel();
            return;
        }
        tokio::select! {
            () = time::sleep(wait) => {}
            () = shared.wakes.heartbeat.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Hands tasks that will not run to the finisher, if it still is there.
pub(crate) async fn give_back(completed: &mpsc::WeakSender<Completed>, tasks: Vec<queue::claim::Claimed>) {
    let Some(completed) = completed.upgrade().filter(|_| !tasks.is_empty()) else { return };
    for task in tasks {
        let _ = completed.send(Completed::release(task)).await;
    }
}
