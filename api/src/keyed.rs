//! Submits that carry a key: a transaction each, on a pooled connection.
//!
//! Not through the group commit: such a request may have to wait for another process that holds its key, and its neighbours must not wait with it.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dispatch::Publisher;
use queue::{
    NewTask,
    keyed::{self, Answered, Idempotency, Outcome, Request, Unique},
    wakeup::{Hint, Notifier},
};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{self, Instant},
};

use crate::{
    config::ApiArgs,
    idempotency::{Route, fingerprint},
    metrics::SubmitMetrics,
    problem::{Kind, Problem},
    store::{Store, Unavailable},
    submitter::{SubmitError, TASK_OVERHEAD},
};

/// Longest wait for a turn, unless requests are given up earlier.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stores requests that carry keys. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    store: Store,
    publisher: Publisher,
    notifier: Notifier,
    metrics: SubmitMetrics,
    ttl: Duration,
    /// Memory of requests that are being stored, in bytes; as much as the submit buffer may take.
    memory: Arc<Semaphore>,
    memory_limit: usize,
    /// Keys may be held by somebody who does not let go: some of the pool's connections stay free for everything else.
    turns: Arc<Semaphore>,
    patience: Duration,
}

impl Keyed {
    pub(crate) fn new(
        args: &ApiArgs,
        store: &Store,
        publisher: &Publisher,
        notifier: &Notifier,
        metrics: &SubmitMetrics,
    ) -> Self {
        let memory_limit = args.submit.submit_buffer_bytes.bytes().min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let turns = (args.read.database_connections as usize * 3 / 4).max(1);
        Self {
            store: store.clone(),
            publisher: publisher.clone(),
            notifier: notifier.clone(),
            metrics: metrics.clone(),
            ttl: *args.submit.idempotency_ttl,
            memory: Arc::new(Semaphore::new(memory_limit)),
            memory_limit,
            turns: Arc::new(Semaphore::new(turns)),
            // Half, as in the group commit.
            patience: PATIENCE.min(*args.http.request_timeout / 2),
        }
    }

    /// Stores tasks, all or none, or finds those that stand for them; answers in their order, after the commit. `unique`: the unique keys, by the
    /// index of their task. `scope`: whose idempotency key it is.
    pub(crate) async fn submit(
        &self,
        scope: Cow<'static, str>,
        route: Route,
        key: Option<String>,
        tasks: Vec<NewTask>,
        unique: Vec<(usize, Unique)>,
    ) -> Result<Vec<Answered>, Problem> {
        let started = Instant::now();
        let ttl = self.ttl;
        let request = move || {
            let idempotency = key.map(|key| {
                let fingerprint = fingerprint(route, &tasks, &unique);
                Idempotency { scope: scope.into_owned(), key, fingerprint, ttl }
            });
            Request::new(tasks, unique, idempotency)
        };
        let request = match route {
            Route::Task => request(),
            // Hashing megabytes would hold up other requests.
            Route::Batch => {
                spawn_blocking(request).await.map_err(|_| Problem::new(Kind::Internal, Kind::Internal.meaning()))?
            }
        };
        match self.store(request).await {
            Ok(Outcome::Answered(answer)) => {
                self.metrics.acknowledged(started.elapsed());
                self.metrics.keyed(&answer.tasks);
                Ok(answer.tasks)
            }
            Ok(Outcome::Reused) => {
                self.metrics.key_reused();
                Err(Problem::new(Kind::IdempotencyKeyReused, "this Idempotency-Key came with another request before")
                    .with("header", "Idempotency-Key"))
            }
            Ok(Outcome::InUse) => {
                self.metrics.key_in_use();
                Err(Problem::new(Kind::KeyInUse, Kind::KeyInUse.meaning()))
            }
            Err(error) => {
                self.metrics.refused(error);
                Err(error.into())
            }
        }
    }

    /// Whether a request with this key of this scope was stored before.
    pub(crate) async fn is_known(&self, scope: &str, key: &str) -> Result<bool, Unavailable> {
        let named: Arc<(String, String)> = Arc::new((scope.to_owned(), key.to_owned()));
        let known = self.store.read(move |connection| {
            let named = Arc::clone(&named);
            Box::pin(async move { keyed::is_known(connection, &named.0, &named.1).await })
        });
        known.await
    }

    async fn store(&self, request: Request) -> Result<Outcome, SubmitError> {
        let weight = request.bytes(TASK_OVERHEAD).min(self.memory_limit) as u32;
        let Ok(_memory) = self.memory.try_acquire_many(weight) else { return Err(SubmitError::Full) };
        // The semaphore is never closed.
        let Ok(Ok(_turn)) = time::timeout(self.patience, self.turns.acquire()).await else {
            return Err(SubmitError::Full);
        };
        let request = Arc::new(request);
        let was_tried = Arc::new(AtomicBool::new(false));
        let (publisher, notifier) = (self.publisher.clone(), self.notifier.clone());
        let stored = self.store.run_as_one(
            move |connection| {
                let request = Arc::clone(&request);
                let is_again = was_tried.swap(true, Ordering::Relaxed);
                Box::pin(async move { keyed::store(connection, &request, is_again).await })
            },
            move |outcome| {
                if let Outcome::Answered(answer) = outcome {
                    publisher.publish(std::mem::take(&mut answer.ready));
                    if answer.is_something_later {
                        notifier.tell(Hint::Schedule);
                    }
                }
            },
        );
        stored.await.map_err(SubmitError::from)
    }
}
