//! Housekeeping that any live worker does for all: promote what is due, rescue the leases of dead workers, make the callbacks of what has
//! ended.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use queue::{
    callbacks::{self, Sweeper},
    promote::promote,
    rescue::{Rescued, rescue},
    session,
    wakeup::Hint,
};
use service::{
    backoff::{Backoff, jittered},
    database::{Link, LinkError},
};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::incarnation::Shared;

/// Time between looks for dead workers. With a heartbeat of 5 s a dead worker is found within this after its TTL.
const RESCUE_INTERVAL: Duration = Duration::from_secs(5);

/// Time between looks for callbacks that another worker did not make of what it had ended.
const CALLBACKS_INTERVAL: Duration = Duration::from_secs(5);
/// Time between sweeps for those that a worker of release 0.9.0 has not marked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Most pages of one sweep.
const SWEEP_PAGES: usize = 10;

/// How soon to look again when this worker's own heartbeat is due first.
const HEARTBEAT_FIRST: Duration = Duration::from_millis(200);

/// Works until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut link = shared.database.link(session::DURABLE.named("steward"));
    let mut backoff = Backoff::default();
    let mut rescue_at = Instant::now();
    let mut calls = Calls::default();
    loop {
        let worked = async {
            let promoted = link.run(async |connection| promote(connection).await).await?;
            shared.publisher.publish(promoted.ready);
            if rescue_at <= Instant::now() && !shared.is_beating() {
                // Frozen or cut off until now, this worker must not be the one who finds itself dead. Its heartbeat comes first.
                rescue_at = Instant::now() + HEARTBEAT_FIRST;
            }
            if rescue_at <= Instant::now() {
                let rescued = link.run(async |connection| rescue(connection).await).await?;
                report(&shared, &rescued);
                rescue_at = Instant::now() + jittered(RESCUE_INTERVAL);
            }
            calls.make(&shared, &mut link).await?;
            // The hint that something was scheduled may be lost, so this polls, too; a rescue is a poll as good.
            let next_rescue = rescue_at.saturating_duration_since(Instant::now());
            let poll = shared.config.poll_interval;
            let next_look = if poll < RESCUE_INTERVAL { jittered(poll).min(next_rescue) } else { next_rescue };
            Ok::<_, LinkError>(promoted.next_in.map_or(next_look, |due| due.min(next_look)))
        };
        let worked = tokio::select! {
            worked = worked => worked,
            // Each statement may be interrupted anywhere.
            () = stop.cancelled() => return,
        };
        let wait = match worked {
            Ok(wait) => {
                backoff.reset();
                wait
            }
            Err(_) => backoff.next_wait(), // The heartbeat tells that Postgres is away.
        };
        tokio::select! {
            () = time::sleep(wait) => {}
            () = shared.wakes.steward.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// When this worker last looked for callbacks.
struct Calls {
    look_at: Instant,
    sweep_at: Instant,
    sweeper: Sweeper,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            look_at: Instant::now(),
            sweep_at: Instant::now() + jittered(SWEEP_INTERVAL),
            sweeper: Sweeper::default(),
        }
    }
}

impl Calls {
    /// Makes what is due, if somebody says that there is something, or from time to time.
    async fn make(&mut self, shared: &Shared, link: &mut Link) -> Result<(), LinkError> {
        if self.sweep_at <= Instant::now() {
            self.sweep(shared, link).await?;
            self.sweep_at = Instant::now() + jittered(SWEEP_INTERVAL);
        }
        let is_told = shared.wakes.callbacks_due.swap(false, Ordering::Relaxed);
        if !is_told && self.look_at > Instant::now() {
            return Ok(());
        }
        // From now on, also if the statement fails: then the next pass looks again.
        self.look_at = Instant::now();
        loop {
            let made = link.run(async |connection| callbacks::make(connection).await).await?;
            shared.metrics.callbacks.inc_by(made.ready.len() as u64);
            shared.publisher.publish(made.ready);
            if !made.is_more {
                break;
            }
        }
        self.look_at = Instant::now() + jittered(CALLBACKS_INTERVAL);
        Ok(())
    }

    /// Goes on through the callbacks of open tasks, some pages at a time.
    async fn sweep(&mut self, shared: &Shared, link: &mut Link) -> Result<(), LinkError> {
        for _ in 0..SWEEP_PAGES {
            let sweeper = &mut self.sweeper;
            if link.run(async |connection| sweeper.sweep(connection).await).await? {
                shared.wakes.callbacks_due.store(true, Ordering::Relaxed);
            }
            if self.sweeper.is_at_start() {
                break;
            }
        }
        Ok(())
    }
}

fn report(shared: &Shared, rescued: &Rescued) {
    if !rescued.workers.is_empty() {
        warn!(workers = ?rescued.workers, "found dead: their heartbeat is older than their lease TTL");
        shared.metrics.dead_workers.inc_by(rescued.workers.len() as u64);
    }
    if rescued.returned + rescued.ended > 0 {
        info!(returned = rescued.returned, ended = rescued.ended, "gave back the tasks of dead workers");
        shared.metrics.rescued_tasks.inc_by((rescued.returned + rescued.ended) as u64);
        shared.wakes.claimer.notify_one();
        shared.notifier.tell(Hint::Anything);
    }
}
