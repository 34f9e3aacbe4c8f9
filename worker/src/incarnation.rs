//! One identity's life, from registration to the end, and what its parts share.
//!
//! A worker that others found dead may not go on under its identity: it drops everything and starts a new life.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use dispatch::{Dispatch, Publisher};
use futures_util::FutureExt;
use queue::{
    session,
    task::Lane,
    wakeup::Notifier,
    workers::{Registration, WorkerId, deregister, register},
};
use schema::migrate;
use service::{backoff::Backoff, database::Database, readiness::Readiness, tasks::Tasks};
use tokio::{
    sync::{Notify, mpsc},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    buffer::Buffer,
    claimer::Claimer,
    config::WorkerConfig,
    finisher::{BATCH, Completed, FLUSH_LIMIT, Finisher},
    handler::Handlers,
    heartbeat,
    held::Held,
    metrics::Metrics,
    partitioner,
    prefetch::Prefetch,
    progress::Reports,
    running::Running,
    slots::{Slots, kinds},
    stall, steward,
    threads::Threads,
};

/// What the parts of a worker share. Buffer and leases are of one life; the rest outlives it.
pub(crate) struct Shared {
    pub(crate) config: WorkerConfig,
    pub(crate) database: Database,
    pub(crate) handlers: Handlers,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) dispatch: Dispatch,
    pub(crate) publisher: Publisher,
    pub(crate) notifier: Notifier,
    pub(crate) reports: Reports,
    pub(crate) threads: Arc<Threads>,
    pub(crate) buffer: Buffer,
    pub(crate) held: Held,
    pub(crate) prefetch: Mutex<Prefetch>,
    /// When the last heartbeat arrived.
    pub(crate) beat_at: Mutex<Option<Instant>>,
}

/// Who is woken by what.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    pub(crate) claimer: Notify,
    pub(crate) steward: Notify,
    pub(crate) heartbeat: Notify,
    /// Tasks have ended whose end is to be told: for the steward, when it wakes.
    pub(crate) callbacks_due: AtomicBool,
    /// The current identity; zero between lives.
    pub(crate) worker: AtomicI64,
}

/// Why a life ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Told to stop, and everything is written or given back.
    Stopped,
    /// Found dead by others.
    Fenced,
}

impl Shared {
    /// Notes that a heartbeat has arrived.
    pub(crate) fn has_beaten(&self) {
        *self.beat_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the heartbeat is well within its lease.
    pub(crate) fn is_beating(&self) -> bool {
        let beat_at = *self.beat_at.lock().unwrap_or_else(PoisonError::into_inner);
        beat_at.is_some_and(|beat_at| beat_at.elapsed() < self.config.lease_ttl / 2)
    }

    pub(crate) fn prefetch(&self) -> MutexGuard<'_, Prefetch> {
        self.prefetch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives once.
pub(crate) async fn live(shared: Arc<Shared>, stop: &CancellationToken) -> End {
    let worker = tokio::select! {
        worker = registered(&shared) => worker,
        () = stop.cancelled() => return End::Stopped,
    };
    shared.wakes.worker.store(worker.0, Ordering::Relaxed);
    info!(
        worker.id = worker.0,
        worker.name = shared.config.name,
        slots = shared.config.concurrency,
        queues = ?shared.config.queues.iter().map(|queue| queue.as_str()).collect::<Vec<_>>(),
        "registered"
    );
    let fence = CancellationToken::new();
    let give_up = CancellationToken::new();
    // What keeps this worker alive in the eyes of others ends last.
    let end_of_life = CancellationToken::new();
    let running = Running::default();
    let (completed, to_finish) = mpsc::channel(BATCH);

    let (claiming, working, writing, living) = (Tasks::new(), Tasks::new(), Tasks::new(), Tasks::new());
    let stop_claiming = stop.child_token();
    let (source, reader) = shared.dispatch.source(worker, &shared.lanes);
    claiming.spawn(part(reader.run(stop_claiming.clone()), fence.clone()));
    let claimer = Claimer::new(shared.clone(), worker, source).run(completed.downgrade(), stop_claiming.clone());
    claiming.spawn(part(claimer, fence.clone()));
    let slots =
        Arc::new(Slots::new(shared.clone(), running.clone(), completed.clone(), give_up.clone(), fence.clone()));
    for _ in 0..shared.config.concurrency {
        working.spawn_on(part(slots.clone().run(), fence.clone()), shared.threads.handle());
    }
    drop(slots);
    writing.spawn(part(Finisher::new(shared.clone(), worker).run(to_finish), fence.clone()));
    let heartbeat = heartbeat::run(
        shared.clone(),
        worker,
        running,
        completed.downgrade(),
        end_of_life.clone(),
        fence.clone(),
        living.clone(),
    );
    living.spawn(part(heartbeat, fence.clone()));
    living.spawn(part(watch_threads(shared.clone(), end_of_life.clone(), fence.clone()), fence.clone()));
    living.spawn(part(steward::run(shared.clone(), end_of_life.clone()), fence.clone()));
    living.spawn(part(partitioner::run(shared.clone(), end_of_life.clone()), fence.clone()));
    living.spawn(part(stall::run(shared.clone(), completed.downgrade(), end_of_life.clone()), fence.clone()));

    tokio::select! {
        () = stop.cancelled() => {}
        () = fence.cancelled() => {}
    }
    let drain = drain(&shared, completed, stop_claiming, give_up, &claiming, &working, &writing);
    let fenced = tokio::select! {
        () = drain => fence.is_cancelled(),
        () = fence.cancelled() => true,
    };
    shared.wakes.worker.store(0, Ordering::Relaxed);
    end_of_life.cancel();
    if fenced {
        // Everything drops what it holds; the leases are others' already.
        drop(shared.buffer.close());
        let ends = [&claiming, &working, &writing, &living].map(|tasks| tasks.finish(FLUSH_LIMIT));
        futures_util::future::join_all(ends).await;
        return End::Fenced;
    }
    living.finish(FLUSH_LIMIT).await;
    if writing.is_empty() {
        leave(&shared, worker).await;
    }
    End::Stopped
}

/// A part of a life, which ends with the fence wherever it stands. When it panics, which is a bug, the life ends, too: better a
/// new one than a worker that looks alive and does nothing.
async fn part(work: impl Future<Output = ()>, fence: CancellationToken) {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::select! {
        biased; // A slot sees the fence by itself, and puts things in order.
        ended = work => {
            if ended.is_err() {
                error!("a part of this worker panicked: stopping all its tasks");
                fence.cancel();
            }
        }
        () = fence.cancelled() => {}
    }
}

/// Ends the life when its handlers have blocked all their threads: nothing would time out or end any more, under a lease that goes on. Others
/// take the tasks over, and a task that does this again and again is set aside as one that kills its workers.
async fn watch_threads(shared: Arc<Shared>, stop: CancellationToken, fence: CancellationToken) {
    tokio::select! {
        () = shared.threads.blocked(shared.config.lease_ttl) => {
            error!(running = shared.buffer.load().1, "handlers have blocked all their threads: giving up what runs");
            fence.cancel();
        }
        () = stop.cancelled() => {}
    }
}

/// Ends in order: no new claims, unstarted tasks go back, running ones finish or are given up, everything is written.
async fn drain(
    shared: &Shared,
    completed: mpsc::Sender<Completed>,
    stop_claiming: CancellationToken,
    give_up: CancellationToken,
    claiming: &Tasks,
    working: &Tasks,
    writing: &Tasks,
) {
    stop_claiming.cancel();
    // Closed first, so that nothing starts any more; a claim that still comes in is given back at once.
    let unstarted = shared.buffer.close();
    info!(unstarted = unstarted.len(), running = shared.buffer.load().1, "draining");
    let give_back = async {
        for task in unstarted {
            let _ = completed.send(Completed::release(task)).await;
        }
        claiming.finish(FLUSH_LIMIT).await;
        drop(completed);
    };
    let work_off = async {
        if !working.finish(shared.config.drain_budget).await {
            warn!(running = shared.buffer.load().1, "the drain budget is used up: giving running tasks back");
            give_up.cancel();
            working.finish(shared.config.cancel_grace + Duration::from_secs(1)).await;
        }
    };
    // Sending waits for the finisher, which may be stuck; the budget does not.
    let give_back = time::timeout(shared.config.drain_budget.max(FLUSH_LIMIT), give_back);
    let _ = futures_util::future::join(give_back, work_off).await;
    writing.finish(FLUSH_LIMIT).await;
}

/// Registers as soon as the database and its schema are there.
async fn registered(shared: &Shared) -> WorkerId {
    let registration = Registration {
        name: shared.config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease_ttl: shared.config.lease_ttl,
        concurrency: shared.config.concurrency,
        queues: shared.config.queues.clone(),
        kinds: kinds(&shared.handlers),
    };
    let mut link = shared.database.link(session::DURABLE.named("register"));
    let mut backoff = Backoff::default();
    loop {
        match link.run(async |connection| migrate::status_on(connection).await).await {
            Err(error) => shared.readiness.set("postgres", Err(error.to_string())),
            Ok(status) if !status.pending.is_empty() => {
                shared.readiness.set("postgres", Ok(()));
                let reason = format!("pending migrations: {}", status.pending.join(", "));
                shared.readiness.set("schema", Err(reason));
            }
            Ok(_) => {
                shared.readiness.set("schema", Ok(()));
                match link.run(async |connection| register(connection, &registration).await).await {
                    Ok(worker) => {
                        shared.readiness.set("postgres", Ok(()));
                        return worker;
                    }
                    Err(error) => shared.readiness.set("postgres", Err(error.to_string())),
                }
            }
        }
        backoff.wait().await;
    }
}

/// Off the list; without this, the row counts as dead after its TTL.
async fn leave(shared: &Shared, worker: WorkerId) {
    let mut link = shared.database.link(session::DURABLE.named("deregister"));
    let left = link.run(async |connection| deregister(connection, worker).await);
    match time::timeout(FLUSH_LIMIT, left).await {
        Ok(Ok(())) => info!(worker.id = worker.0, "deregistered"),
        Ok(Err(error)) => warn!(worker.id = worker.0, %error, "could not deregister"),
        Err(_) => warn!(worker.id = worker.0, "could not deregister in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_ends_the_life_and_one_that_returns_does_not() {
        let fence = CancellationToken::new();
        part(async {}, fence.clone()).await;
        assert!(!fence.is_cancelled());
        part(async { panic!("a bug") }, fence.clone()).await;
        assert!(fence.is_cancelled());
        // And the others end with it, wherever they stand.
        part(std::future::pending(), fence).await;
    }
}
