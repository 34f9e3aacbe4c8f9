//! The one place that spawns background tasks.
//!
//! A task that nobody awaits outlives its process' intentions: everything long-lived goes through [`Tasks`], and
//! [`Tasks::finish`] waits for all of it. (`clippy.toml` forbids `tokio::spawn` elsewhere.)

use std::{future::Future, time::Duration};

use tokio::{runtime::Handle, task::JoinHandle, time};
use tokio_util::task::TaskTracker;
use tracing::warn;

/// The background tasks of one process, or of one part of it.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` in the background; [`Tasks::finish`] waits for it.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(future)
    }

    /// The same on another runtime.
    pub fn spawn_on<F>(&self, future: F, runtime: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn_on(future, runtime)
    }

    /// Runs a future that may never end and need not be awaited: it holds nothing that must be flushed.
    #[expect(clippy::disallowed_methods, reason = "this is the module that wraps it")]
    pub fn spawn_detached<F>(&self, future: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        drop(tokio::spawn(future));
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether every task has ended.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until every task has ended, at most `limit`. False: some were still running.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.tracker.close();
        let ended = time::timeout(limit, self.tracker.wait()).await.is_ok();
        if !ended {
            warn!(tasks = self.tracker.len(), ?limit, "background tasks did not end in time");
        }
        ended
    }
}
