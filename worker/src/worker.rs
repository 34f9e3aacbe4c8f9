//! The worker as its owner sees it: handlers, settings, run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch::Dispatch;
use queue::{
    task::{Lane, Name},
    wakeup::{self, Heard, Hint, Notifier},
};
use service::{backoff::Backoff, database::Database, readiness::Readiness, tasks::Tasks};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    buffer::Buffer,
    config::WorkerConfig,
    handler::{Handler, Handlers},
    held::Held,
    incarnation::{self, End, Shared, Wakes},
    metrics::Metrics,
    prefetch::Prefetch,
    progress::Reports,
    threads::Threads,
    totals,
};

/// Longest that last wakeups and reports of progress may take after everything else has ended; both are hints.
const HINTS_LIMIT: Duration = Duration::from_secs(2);

/// Collects handlers.
#[derive(Default)]
pub struct Builder {
    handlers: Handlers,
    dispatch: Dispatch,
}

/// Runs tasks until told to stop.
pub struct Worker {
    config: WorkerConfig,
    database: Database,
    dispatch: Dispatch,
    handlers: Handlers,
    lanes: Vec<Lane>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

impl Builder {
    /// Registers the handler of a kind; a second one for the same kind replaces the first.
    ///
    /// # Panics
    /// When `kind` is no name (see [`Name`]): that is a mistake in the program.
    #[must_use]
    pub fn handler(mut self, kind: &str, handler: impl Handler) -> Self {
        let kind = Name::new(kind).unwrap_or_else(|error| panic!("kind {kind:?}: {error}"));
        self.handlers.insert(kind, Arc::new(handler));
        self
    }

    /// How it learns which tasks to claim; Postgres alone unless told otherwise.
    #[must_use]
    pub fn dispatch(self, dispatch: Dispatch) -> Self {
        Self { dispatch, ..self }
    }

    /// A worker with these handlers.
    pub fn build(self, config: WorkerConfig, database: Database) -> Worker {
        let kinds = self.handlers.keys();
        let of_queue = |queue: &Name| kinds.clone().map(move |kind| (queue.clone(), kind.clone())).collect::<Vec<_>>();
        let lanes: Vec<Lane> =
            config.queues.iter().flat_map(of_queue).map(|(queue, kind)| Lane { queue, kind }).collect();
        let metrics = Arc::new(Metrics::new(&lanes, config.concurrency, self.dispatch.metrics()));
        let readiness = Readiness::new(&[&["postgres", "schema"], self.dispatch.dependencies()].concat());
        Worker { config, database, dispatch: self.dispatch, handlers: self.handlers, lanes, metrics, readiness }
    }
}

impl Worker {
    /// Starts with no handlers.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What `/ready` answers for this worker.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// What `/metrics` answers for this worker.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Runs until `stop`, and then until everything is written or given back, which takes at most the drain budget and some seconds.
    ///
    /// # Panics
    /// When the system gives no threads.
    pub async fn run(self, stop: CancellationToken) {
        let background = Tasks::new();
        let end = CancellationToken::new();
        let notifier = Notifier::default();
        let reports = Reports::default();
        let wakes = Arc::new(Wakes::default());
        background.spawn(notifier.clone().run(self.database.clone(), end.clone()));
        let publisher = {
            let wakes = wakes.clone();
            self.dispatch.publisher(notifier.clone()).waking(move || wakes.claimer.notify_one())
        };
        background.spawn(publisher.clone().run(end.clone()));
        background.spawn(self.dispatch.clone().watch(self.readiness.clone(), end.clone()));
        background.spawn(reports.clone().run(self.database.clone(), end.clone()));
        if self.config.wakeups {
            let (wakes, metrics, queues) = (wakes.clone(), self.metrics.clone(), self.config.queues.clone());
            let hear = move |heard| match heard {
                Heard::Hint(hint) => dispatch(&hint, &wakes, &queues),
                Heard::Listening(listening) => {
                    metrics.listening.set(listening.into());
                }
            };
            background.spawn(wakeup::listen(self.database.clone(), end.clone(), hear));
        }
        let readiness = self.readiness.clone();
        let tell_stop = {
            let (readiness, stop) = (readiness.clone(), stop.clone());
            async move {
                stop.cancelled().await;
                readiness.stop();
            }
        };
        background.spawn(tell_stop);
        let mut threads = new_threads();
        let mut life = 0;
        let mut backoff = Backoff::default();
        loop {
            let born_at = Instant::now();
            let shared = Arc::new(Shared {
                config: self.config.clone(),
                database: self.database.clone(),
                handlers: self.handlers.clone(),
                lanes: self.lanes.clone(),
                metrics: self.metrics.clone(),
                readiness: readiness.clone(),
                wakes: wakes.clone(),
                dispatch: self.dispatch.clone(),
                publisher: publisher.clone(),
                notifier: notifier.clone(),
                reports: reports.clone(),
                threads: threads.clone(),
                buffer: Buffer::default(),
                held: Held::default(),
                prefetch: Prefetch::new(self.config.concurrency, self.config.prefetch).into(),
                beat_at: None.into(),
            });
            let totals_stop = stop.child_token();
            let totals = background.spawn(totals::run(shared.clone(), totals_stop.clone()));
            let ended = incarnation::live(shared, &stop).await;
            totals_stop.cancel();
            let _ = totals.await;
            match ended {
                End::Stopped => break,
                End::Fenced => {
                    life += 1;
                    self.metrics.fenced.inc();
                    if born_at.elapsed() > self.config.lease_ttl {
                        backoff.reset();
                    }
                }
            }
            if threads.are_blocked() {
                threads = new_threads();
            }
            // Lives that end at once, by a panic for instance, must not follow each other as fast as they can.
            tokio::select! {
                () = backoff.wait() => warn!(life, "starting over under a new identity"),
                () = stop.cancelled() => break,
            }
        }
        end.cancel();
        background.finish(HINTS_LIMIT).await;
        info!("stopped");
    }
}

fn new_threads() -> Arc<Threads> {
    Arc::new(Threads::start().unwrap_or_else(|error| panic!("no threads for handlers: {error}")))
}

fn dispatch(hint: &Hint, wakes: &Wakes, queues: &[Name]) {
    match hint {
        Hint::Work(queue) if queues.contains(queue) => wakes.claimer.notify_one(),
        Hint::Work(_) => {}
        Hint::Schedule => wakes.steward.notify_one(),
        Hint::Cancel(worker) => {
            if wakes.worker.load(std::sync::atomic::Ordering::Relaxed) == worker.0 {
                wakes.heartbeat.notify_one();
            }
        }
        Hint::Pause(queue) if queues.contains(queue) => wakes.heartbeat.notify_one(),
        Hint::Pause(_) => {}
        Hint::Anything => {
            wakes.claimer.notify_one();
            wakes.steward.notify_one();
            wakes.heartbeat.notify_one();
        }
    }
}

/// The kinds registered, for messages.
impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: BTreeMap<_, _> = self.handlers.keys().map(|kind| (kind.as_str(), ())).collect();
        f.debug_struct("Builder").field("kinds", &kinds.keys()).finish()
    }
}
