//! Tells workers what is ready.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use queue::{
    ReadyBatch,
    task::Name,
    wakeup::{Hint, Notifier, Turn},
};
use redis::{Pipeline, RedisError, aio::MultiplexedConnection, streams::StreamMaxlen};
use service::backoff::Backoff;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    complaints::Complaints,
    link::{Link, LinkError, PATIENCE, Redis},
    metrics::Metrics,
    streams::{FIELD, LENGTH_LIMIT, TTL_S, key_of},
};

/// Most batches that wait to be told to Redis. More are told by a wakeup.
const PENDING_LIMIT: usize = 20_000;
/// Most batches told at once.
const CHUNK: usize = 1000;

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Publisher {
    notifier: Notifier,
    neighbour: Option<Arc<dyn Fn() + Send + Sync>>,
    outbox: Option<Arc<Outbox>>,
}

/// What waits to be told to Redis.
struct Outbox {
    redis: Redis,
    metrics: Metrics,
    state: Mutex<State>,
    filled: Notify,
}

struct State {
    pending: Vec<ReadyBatch>,
    /// False while Redis is away.
    is_open: bool,
}

impl Publisher {
    pub(crate) fn new(redis: Option<Redis>, notifier: Notifier, metrics: Metrics) -> Self {
        let state = State { pending: Vec::new(), is_open: true };
        let outbox =
            redis.map(|redis| Arc::new(Outbox { redis, metrics, state: Mutex::new(state), filled: Notify::new() }));
        Self { notifier, neighbour: None, outbox }
    }

    /// Wakes a worker of this process, too, whenever others are woken by a wakeup.
    #[must_use]
    pub fn waking(self, neighbour: impl Fn() + Send + Sync + 'static) -> Self {
        Self { neighbour: Some(Arc::new(neighbour)), ..self }
    }

    /// Tells of batches. Never waits.
    pub fn publish(&self, ready: Vec<ReadyBatch>) {
        match &self.outbox {
            None => self.wake(&ready),
            Some(outbox) => self.wake_instead(outbox, &outbox.put(ready)),
        }
    }

    /// For who is about to make something ready in these queues: what to send behind the statement that does, in place of publishing
    /// afterwards. None: publish, as ever.
    pub fn turn<'q>(&self, queues: impl IntoIterator<Item = &'q Name>) -> Option<Turn> {
        if self.outbox.is_some() || self.neighbour.is_some() {
            return None;
        }
        self.notifier.turn(queues.into_iter().cloned().map(Hint::Work))
    }

    /// Adds to Redis what was published, until `stop`. While Redis is away, everything is told by wakeups.
    pub async fn run(self, stop: CancellationToken) {
        let Some(outbox) = self.outbox.clone() else { return stop.cancelled().await };
        let mut link = outbox.redis.link();
        let mut complaints = Complaints::default();
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                biased; // What was published before the stop is told.
                () = outbox.filled.notified() => {}
                () = stop.cancelled() => return,
            }
            let batches = outbox.take();
            if batches.is_empty() {
                continue;
            }
            let mut added = link.run(PATIENCE, async |connection| add(connection, &batches).await).await;
            if added.as_ref().is_err_and(LinkError::is_hang_up) {
                // Servers may hang up on who was silent for long. Told twice is harmless.
                added = link.run(PATIENCE, async |connection| add(connection, &batches).await).await;
            }
            let Err(error) = added else {
                outbox.metrics.published.inc_by(batches.len() as u64);
                backoff.reset();
                if complaints.are_over() {
                    info!("publishing to Redis");
                }
                continue;
            };
            if complaints.are_news(&error) {
                warn!(%error, "cannot publish to Redis; telling by wakeups");
            }
            self.wake_instead(&outbox, &[batches, outbox.close()].concat());
            if stop.run_until_cancelled(until_back(&mut link, &mut backoff)).await.is_none() {
                return;
            }
            outbox.open();
        }
    }

    fn wake(&self, ready: &[ReadyBatch]) {
        let queues: BTreeSet<_> = ready.iter().map(|batch| &batch.lane.queue).collect();
        if queues.is_empty() {
            return;
        }
        if let Some(neighbour) = &self.neighbour {
            neighbour();
        }
        for queue in queues {
            self.notifier.tell(Hint::Work(queue.clone()));
        }
    }

    fn wake_instead(&self, outbox: &Outbox, missed: &[ReadyBatch]) {
        outbox.metrics.unpublished.inc_by(missed.len() as u64);
        self.wake(missed);
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("redis", &self.outbox.is_some()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// Takes batches in; returns those that must be told otherwise.
    fn put(&self, mut ready: Vec<ReadyBatch>) -> Vec<ReadyBatch> {
        let mut state = self.lock();
        if !state.is_open {
            return ready;
        }
        let room = PENDING_LIMIT.saturating_sub(state.pending.len()).min(ready.len());
        let missed = ready.split_off(room);
        state.pending.append(&mut ready);
        drop(state);
        self.filled.notify_one();
        missed
    }

    fn take(&self) -> Vec<ReadyBatch> {
        let mut state = self.lock();
        let rest = state.pending.len().min(CHUNK);
        let rest = state.pending.split_off(rest);
        if !rest.is_empty() {
            self.filled.notify_one();
        }
        std::mem::replace(&mut state.pending, rest)
    }

    fn close(&self) -> Vec<ReadyBatch> {
        let mut state = self.lock();
        state.is_open = false;
        std::mem::take(&mut state.pending)
    }

    fn open(&self) {
        self.lock().is_open = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until_back(link: &mut Link, backoff: &mut Backoff) {
    loop {
        backoff.wait().await;
        if link.probe().await.is_ok() {
            return;
        }
    }
}

async fn add(connection: &mut MultiplexedConnection, batches: &[ReadyBatch]) -> Result<(), RedisError> {
    let mut pipeline = Pipeline::new();
    let mut keys = BTreeSet::new();
    for batch in batches {
        let key = key_of(batch);
        append(&mut pipeline, &key, batch.id);
        keys.insert(key);
    }
    for key in keys {
        pipeline.expire(key, TTL_S).ignore();
    }
    pipeline.query_async(connection).await
}

/// Adds an entry to a stream.
pub(crate) fn append(pipeline: &mut Pipeline, key: &str, batch: queue::BatchId) {
    pipeline.xadd_maxlen(key, StreamMaxlen::Approx(LENGTH_LIMIT), "*", &[(FIELD, batch.uuid().to_string())]).ignore();
}
