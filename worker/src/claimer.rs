//! Keeps the buffer filled: with what was delivered, and with what is found in the table.
//!
//! With backend `postgres` nothing is ever delivered, and wakeups say when to look. With `redis` a look finds what Redis lost.

use std::{sync::Arc, time::Duration};

use dispatch::{Delivery, Source};
use queue::{
    claim::{Claimed, Floors, claim, claim_batches, held},
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
/// How far floors stay behind: a row whose transaction commits within this time of a later one's is not missed.
const FLOORS_LAG: Duration = Duration::from_millis(200);
/// Time between looks for leases that this worker does not know of; see [`crate::held`]. A claim that failed is followed by one at
/// once, but may still be under way in the database.
const RECHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How long a delivery waits for room before others get it.
const LET_GO_AFTER: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Claimer {
    shared: Arc<Shared>,
    worker: WorkerId,
    link: Link,
    lanes: Vec<Lane>,
    floors: Floors,
    floors_from: Instant,
    floors_settled: Instant,
    source: Source,
    /// When to look at the tables again, whatever is heard until then.
    look_at: Instant,
    recheck_at: Instant,
    /// Until then a delivery may wait for room.
    let_go_at: Instant,
}

impl Claimer {
    pub(crate) fn new(shared: Arc<Shared>, worker: WorkerId, source: Source) -> Self {
        let link = shared.database.link(session::VOLATILE.named("claimer"));
        let lanes = shared.lanes.clone();
        let now = Instant::now();
        let recheck_at = now + RECHECK_INTERVAL;
        let floors = Floors::default();
        let look_at = now + source.head_start();
        Self {
            shared,
            worker,
            link,
            lanes,
            floors,
            floors_from: now,
            floors_settled: now,
            source,
            look_at,
            recheck_at,
            let_go_at: now,
        }
    }

    /// Claims until `stop`. A claim under way is never abandoned: its tasks would wait for a rescue.
    pub(crate) async fn run(mut self, completed: mpsc::WeakSender<Completed>, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            let Err(error) = self.step(&completed, &stop).await else {
                backoff.reset();
                continue;
            };
            if !self.shared.readiness.is_missing("postgres") {
                warn!(%error, "cannot claim");
            }
            self.shared.readiness.set("postgres", Err(error.to_string()));
            (self.look_at, self.recheck_at) = (Instant::now(), Instant::now());
            tokio::select! {
                () = backoff.wait() => {}
                () = self.shared.wakes.claimer.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        if self.recheck_at <= Instant::now() {
            // The last claim failed. What it may have taken would count as crashed with this worker.
            let _ = self.recheck(&completed).await;
        }
    }

    /// Claims once, or waits for a reason to.
    async fn step(
        &mut self,
        completed: &mpsc::WeakSender<Completed>,
        stop: &CancellationToken,
    ) -> Result<(), LinkError> {
        if self.recheck_at <= Instant::now() {
            self.recheck(completed).await?;
            self.recheck_at = Instant::now() + jittered(RECHECK_INTERVAL);
        }
        let want = self.want();
        if want == 0 {
            tokio::select! {
                () = self.shared.buffer.drained() => {}
                // A look at the table may have filled the slots while a read was under way.
                () = time::sleep_until(self.let_go_at) => {
                    self.source.let_go().await;
                    self.let_go_at = Instant::now() + LET_GO_AFTER;
                }
                () = time::sleep_until(self.recheck_at) => {}
                () = stop.cancelled() => {}
            }
            return Ok(());
        }
        self.let_go_at = Instant::now() + LET_GO_AFTER;
        if self.look_at <= Instant::now() {
            return self.look(want, completed).await;
        }
        let batches = self.shared.prefetch().batches(want);
        tokio::select! {
            delivery = self.source.next(batches) => return self.take(delivery, completed).await,
            // A wakeup that came while we looked is kept by `Notify`, so nothing falls between looking and waiting.
            () = self.shared.wakes.claimer.notified() => self.look_at = Instant::now(),
            () = time::sleep_until(self.look_at.min(self.recheck_at)) => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    }

    /// Claims what is first in the table.
    async fn look(&mut self, want: usize, completed: &mpsc::WeakSender<Completed>) -> Result<(), LinkError> {
        let Claim { tasks, is_dry } = self.claim(want).await?;
        let waited = tasks.iter().map(|task| task.waited).max().unwrap_or_default();
        self.buffer(tasks, completed).await;
        let next_look_in = if is_dry {
            self.time_to_next_look()
        } else {
            self.source.look_again_in(waited, jittered(self.shared.config.poll_interval))
        };
        self.look_at = Instant::now() + next_look_in;
        Ok(())
    }

    /// Claims what was delivered.
    async fn take(&mut self, delivery: Delivery, completed: &mpsc::WeakSender<Completed>) -> Result<(), LinkError> {
        // There was room when it was asked for, and slots have only emptied since; but what is held ahead may have shrunk.
        let want = self.want().max(1);
        let Self { link, worker, lanes, .. } = self;
        let claimed =
            link.run(async |connection| claim_batches(connection, *worker, want, &delivery.batches, lanes).await).await;
        match claimed {
            Ok(claimed) => {
                self.source.settle(delivery, &claimed).await;
                self.count(&claimed.tasks);
                self.buffer(claimed.tasks, completed).await;
                Ok(())
            }
            Err(error) => {
                self.source.put_back(delivery).await;
                Err(error)
            }
        }
    }

    /// Hands claimed tasks over to the slots.
    async fn buffer(&self, tasks: Vec<Claimed>, completed: &mpsc::WeakSender<Completed>) {
        self.shared.held.add(&tasks);
        let refused = self.shared.buffer.put(tasks);
        give_back(completed, refused).await;
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
        if self.floors_settled.elapsed() >= FLOORS_LAG {
            self.floors.settle();
            self.floors_settled = Instant::now();
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

struct Claim {
    tasks: Vec<Claimed>,
    is_dry: bool,
}
