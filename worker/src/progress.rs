//! Reports of running handlers, stored at a slow pace.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{Json, TaskId, progress, session};
use service::{
    backoff::{Backoff, jittered},
    database::Database,
};
use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Time between two writes. A handler may report as often as it likes.
const PACE: Duration = Duration::from_millis(500);

/// The newest report of each task that runs. Clones share it; it holds at most one report per slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    fresh: HashMap<TaskId, (i16, Json)>,
    /// Ended tasks whose report may be in the database.
    ended: Vec<TaskId>,
    /// Tasks that have reported and have not ended.
    reported: HashSet<TaskId>,
}

impl Reports {
    pub(crate) fn put(&self, id: TaskId, attempt: i16, value: Json) {
        let mut state = self.lock();
        state.reported.insert(id);
        state.fresh.insert(id, (attempt, value));
        drop(state);
        self.shared.changed.notify_one();
    }

    /// The task has left its slot: its report is worth nothing any more.
    pub(crate) fn end(&self, id: TaskId) {
        let mut state = self.lock();
        if state.reported.remove(&id) {
            state.fresh.remove(&id);
            state.ended.push(id);
            drop(state);
            self.shared.changed.notify_one();
        }
    }

    /// Stores reports until `stop`. A report that cannot be stored is dropped: it is a hint.
    pub(crate) async fn run(self, database: Database, stop: CancellationToken) {
        let mut link = database.link(session::VOLATILE.named("progress"));
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = stop.cancelled() => return,
            }
            let (fresh, ended) = {
                let mut state = self.lock();
                (std::mem::take(&mut state.fresh), std::mem::take(&mut state.ended))
            };
            let fresh: Vec<_> = fresh.into_iter().map(|(id, (attempt, value))| (id, attempt, value)).collect();
            let stored = link
                .run(async |connection| {
                    // In this order: a task that ended may have started again and reported.
                    if !ended.is_empty() {
                        progress::forget(connection, &ended).await?;
                    }
                    if !fresh.is_empty() {
                        progress::report(connection, &fresh).await?;
                    }
                    Ok(())
                })
                .await;
            let wait = match stored {
                Ok(()) => {
                    backoff.reset();
                    jittered(PACE)
                }
                Err(error) => {
                    debug!(%error, "progress reports dropped");
                    backoff.next_wait()
                }
            };
            tokio::select! {
                () = time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
