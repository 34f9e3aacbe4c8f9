//! So many tasks in so much time: evenly, so that a rate is there to fall and to come back.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Shared by those who submit.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    tasks: u64,
    per_second: f64,
    taken: AtomicU64,
}

impl Pace {
    pub(crate) fn new(tasks: u64, time: Duration) -> Self {
        Self {
            began: Instant::now(),
            tasks,
            per_second: tasks as f64 / time.as_secs_f64().max(0.001),
            taken: AtomicU64::new(0),
        }
    }

    /// Takes so many tasks, and says when to submit them; none: there were enough.
    pub(crate) fn take(&self, tasks: u64) -> Option<Instant> {
        let before = self.taken.fetch_add(tasks, Ordering::Relaxed);
        (before < self.tasks).then(|| self.began + Duration::from_secs_f64(before as f64 / self.per_second))
    }

    pub(crate) fn is_through(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.tasks
    }
}
