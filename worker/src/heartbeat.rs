//! Says that this worker lives, and hears what was cancelled and what is paused.

use std::sync::Arc;

use queue::{
    session,
    workers::{Pulse, WorkerId, heartbeat},
};
use service::{
    backoff::{Backoff, jittered},
    tasks::Tasks,
};
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{finisher::Completed, incarnation::Shared, running::Running};

/// A heartbeat is given up after this part of the lease and sent again on a new connection: one that broke silently
/// must not cost the lease.
const BEATS_PER_LEASE: u32 = 3;

/// Beats until `stop`. Cancels `fence` when other workers have found this one dead, which only the database can tell: while it is
/// away, running tasks go on. If it is away for this worker only, others may run them meanwhile too; the leases decide whose
/// outcome counts.
pub(crate) async fn run(
    shared: Arc<Shared>,
    worker: WorkerId,
    running: Running,
    completed: mpsc::WeakSender<Completed>,
    stop: CancellationToken,
    fence: CancellationToken,
    tasks: Tasks,
) {
    let mut link = shared.database.link(session::VOLATILE.named("heartbeat"));
    let mut backoff = Backoff::default();
    loop {
        let patience = shared.config.lease_ttl / BEATS_PER_LEASE;
        let beat = link.run(async |connection| heartbeat(connection, worker).await);
        let pulse = tokio::select! {
            pulse = time::timeout(patience, beat) => pulse,
            () = stop.cancelled() => return,
        };
        let wait = match pulse {
            Ok(Ok(Pulse::Alive { cancelled, paused })) => {
                backoff.reset();
                shared.has_beaten();
                shared.readiness.set("postgres", Ok(()));
                running.cancel(&cancelled);
                let unwanted =
                    shared.buffer.remove(|task| cancelled.contains(&task.id) || paused.contains(&task.lane.queue));
                // Not awaited: while the finisher is stuck this would be, and with it the fence.
                let completed = completed.clone();
                tasks.spawn(async move { give_back(&completed, unwanted).await });
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
            Err(_) => {
                shared.readiness.set("postgres", Err("no answer to a heartbeat".to_owned()));
                backoff.next_wait()
            }
        };
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
