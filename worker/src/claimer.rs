//! Keeps the buffer filled.

use std::{sync::Arc, time::Duration};

use queue::{
    claim::{Claimed, Floors, claim, held},
    requeue::Reason,
    session,
    task::Lane,
    workers::WorkerId,
};
use service::{
    backoff::{Backoff, jittered},
    database::{Link, LinkError},
};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    finisher::{Completed, Verdict},
    heartbeat::give_back,
    incarnation::Shared,
};

/// How long floors are trusted; see [`Floors`].
const FLOORS_TTL: Duration = Duration::from_secs(1);
/// Time between looks for leases that this worker does not know of; see [`crate::held`]. A claim that failed is followed by one at
/// once, but may still be under way in the database.
const RECHECK_INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Claimer {
    shared: Arc<Shared>,
    worker: WorkerId,
    link: Link,
    lanes: Vec<Lane>,
    floors: Floors,
    floors_from: Instant,
    recheck_at: Instant,
}

impl Claimer {
    pub(crate) fn new(shared: Arc<Shared>, worker: WorkerId) -> Self {
        let link = shared.database.link(session::VOLATILE.named("claimer"));
        let lanes = shared.lanes.clone();
        let now = Instant::now();
        let recheck_at = now + RECHECK_INTERVAL;
        Self { shared, worker, link, lanes, floors: Floors::default(), floors_from: now, recheck_at }
    }

    /// Claims until `stop`. A claim under way is never abandoned: its tasks would wait for a rescue.
    pub(crate) async fn run(mut self, completed: mpsc::WeakSender<Completed>, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            let next = match self.look(&completed).await {
                Ok(next) => {
                    backoff.reset();
                    next
                }
                Err(error) => {
                    if !self.shared.readiness.is_missing("postgres") {
                        warn!(%error, "cannot claim");
                    }
                    self.shared.readiness.set("postgres", Err(error.to_string()));
                    self.recheck_at = Instant::now();
                    Next::LookIn(backoff.next_wait())
                }
            };
            match next {
                Next::Look => {}
                Next::WaitForRoom => tokio::select! {
                    () = self.shared.buffer.drained() => {}
                    () = time::sleep_until(self.recheck_at) => {}
                    () = stop.cancelled() => {}
                },
                // A wakeup that came while we looked is kept by `Notify`, so nothing falls between looking and waiting.
                Next::LookIn(wait) => tokio::select! {
                    () = time::sleep(wait) => {}
                    () = self.shared.wakes.claimer.notified() => {}
                    () = stop.cancelled() => {}
                },
            }
        }
        if self.recheck_at <= Instant::now() {
            // The last claim failed. What it may have taken would count as crashed with this worker.
            let _ = self.recheck(&completed).await;
        }
    }

    /// Fills the buffer, if there is room.
    async fn look(&mut self, completed: &mpsc::WeakSender<Completed>) -> Result<Next, LinkError> {
        if self.recheck_at <= Instant::now() {
            self.recheck(completed).await?;
            self.recheck_at = Instant::now() + jittered(RECHECK_INTERVAL);
        }
        let want = self.want();
        if want == 0 {
            return Ok(Next::WaitForRoom);
        }
        let Claim { tasks, is_dry } = self.claim(want).await?;
        self.shared.held.add(&tasks);
        let refused = self.shared.buffer.put(tasks);
        give_back(completed, refused).await;
        if !is_dry {
            return Ok(Next::Look);
        }
        Ok(Next::LookIn(self.time_to_next_look().min(self.recheck_at.saturating_duration_since(Instant::now()))))
    }

    /// Gives back what the database says this worker holds, and this worker does not know of. No claim is under way, so a lease
    /// that is unknown is one whose claim was never answered.
    async fn recheck(&mut self, completed: &mpsc::WeakSender<Completed>) -> Result<(), LinkError> {
        let worker = self.worker;
        let leases = self.link.run(async |connection| held(connection, worker).await).await?;
        let unknown: Vec<_> = leases.into_iter().filter(|lease| !self.shared.held.knows(lease.id)).collect();
        let Some(completed) = completed.upgrade().filter(|_| !unknown.is_empty()) else { return Ok(()) };
        warn!(leases = unknown.len(), "giving back what was claimed and never arrived");
        for lease in unknown {
            for id in lease.tasks {
                let (lane, verdict) = (lease.lane.clone(), Verdict::Return(Reason::Release));
                let _ = completed.send(Completed { lease: lease.id, id, lane, verdict, _memory: None }).await;
            }
        }
        Ok(())
    }

    fn want(&self) -> usize {
        let (buffered, running) = self.shared.buffer.load();
        self.shared.metrics.buffered.set(buffered as i64);
        self.shared.metrics.running.set(running as i64);
        self.shared.prefetch().want(buffered, running)
    }

    async fn claim(&mut self, want: usize) -> Result<Claim, LinkError> {
        if self.floors_from.elapsed() >= FLOORS_TTL {
            self.floors.clear();
        }
        if self.floors.are_clear() {
            self.floors_from = Instant::now();
        }
        // The next claim starts with the next lane, so that none is always served last.
        self.lanes.rotate_left(1);
        let rows = self.shared.prefetch().rows(want);
        let Self { link, worker, lanes, floors, .. } = self;
        let tasks = link.run(async |connection| claim(connection, *worker, want, rows, lanes, floors).await).await?;
        let batches = self.count(&tasks);
        // Fewer tasks than wanted, and not for the limit on rows: there is no more for now.
        let is_dry = tasks.len() < want && batches < rows;
        Ok(Claim { tasks, is_dry })
    }

    /// Until the next poll, or until the floors are due to be forgotten: something may have turned up below them.
    fn time_to_next_look(&self) -> Duration {
        let poll = jittered(self.shared.config.poll_interval);
        if self.floors.are_clear() {
            return poll;
        }
        FLOORS_TTL.saturating_sub(self.floors_from.elapsed()).min(poll)
    }

    /// Counts a claim; returns how many batches it touched.
    fn count(&self, tasks: &[Claimed]) -> usize {
        let batches = tasks.iter().map(|task| task.lease).collect::<std::collections::HashSet<_>>().len();
        let bytes = tasks.iter().map(|task| task.payload.get().len()).sum();
        self.shared.prefetch().claimed(tasks.len(), batches, bytes);
        for task in tasks {
            let lane = self.shared.metrics.lane(&task.lane);
            lane.claimed.inc();
            lane.wait.observe(task.waited.as_secs_f64());
        }
        batches
    }
}

/// What to do next.
enum Next {
    Look,
    WaitForRoom,
    LookIn(Duration),
}

struct Claim {
    tasks: Vec<Claimed>,
    is_dry: bool,
}
