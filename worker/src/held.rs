//! Which leases this worker knows that it holds.
//!
//! The answer to a claim may be lost when the claim has committed. Such a lease would stand as long as its worker lives:
//! nobody runs its tasks, and heartbeats keep others from rescuing them. So the claimer compares now and then.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use queue::claim::{Claimed, LeaseId};

use crate::finisher::Completed;

/// Open tasks per lease: from the answer of the claim until something is written of them.
#[derive(Debug, Default)]
pub(crate) struct Held {
    open: Mutex<HashMap<LeaseId, usize>>,
}

impl Held {
    /// Tasks have been claimed.
    pub(crate) fn add(&self, tasks: &[Claimed]) {
        let mut open = self.lock();
        for task in tasks {
            *open.entry(task.lease).or_default() += 1;
        }
    }

    /// Something has been written of tasks, or their lease was found lost.
    pub(crate) fn remove(&self, tasks: &[Completed]) {
        let mut open = self.lock();
        for task in tasks {
            if let Some(count) = open.get_mut(&task.lease) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&task.lease);
                }
            }
        }
    }

    /// Whether tasks of this lease are on their way through this worker.
    pub(crate) fn knows(&self, lease: LeaseId) -> bool {
        self.lock().contains_key(&lease)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeaseId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
