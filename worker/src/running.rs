//! The tasks that run now, so that they can be told to stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use queue::TaskId;
use tokio_util::sync::CancellationToken;

/// By id. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running {
    tasks: Arc<Mutex<HashMap<TaskId, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    stop: CancellationToken,
    is_cancelled: bool,
}

/// Takes its task off the list when dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    running: Running,
    id: TaskId,
}

impl Running {
    /// Lists a task, with the token that tells its handler to stop.
    pub(crate) fn register(&self, id: TaskId, stop: CancellationToken) -> Registered {
        self.lock().insert(id, Entry { stop, is_cancelled: false });
        Registered { running: self.clone(), id }
    }

    /// Tells the handlers of cancelled tasks to stop. Ids that do not run here are ignored.
    pub(crate) fn cancel(&self, ids: &[TaskId]) {
        let mut tasks = self.lock();
        for id in ids {
            if let Some(entry) = tasks.get_mut(id) {
                entry.is_cancelled = true;
                entry.stop.cancel();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    /// Whether the task was cancelled, rather than stopped for another reason.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.running.lock().get(&self.id).is_some_and(|entry| entry.is_cancelled)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}
