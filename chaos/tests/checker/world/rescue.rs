//! What goes wrong: workers die, and Postgres crashes.

use chaos::{
    audit::{Change, Ended},
    history::{Event, Status},
};

use super::{Lease, Place, World};

/// After so many deaths a task is set aside.
const CRASH_LIMIT: u8 = 5;

impl World {
    /// A worker is found dead. It may have finished one more task before its leases are given back. Another takes its place.
    pub(crate) fn die(&mut self, nth: usize, is_late: bool) {
        let worker = self.workers.remove(nth % self.workers.len());
        self.transaction();
        self.row(Change::Dead { worker });
        self.worker();
        let leases: Vec<usize> = (0..self.leases.len()).filter(|lease| self.leases[*lease].worker == worker).collect();
        if is_late && let Some(task) = leases.iter().flat_map(|lease| self.held(*lease)).next() {
            self.start(task);
            self.finish(&[task]);
        }
        for lease in leases {
            self.rescue(lease);
        }
    }

    fn rescue(&mut self, lease: usize) {
        let Lease { worker, attempt, mask, .. } = self.leases[lease];
        if mask == 0 {
            return;
        }
        self.transaction();
        self.shrink(lease, mask);
        for task in self.held(lease) {
            let stored = &mut self.tasks[task];
            (stored.execution, stored.crashes) = (None, stored.crashes + 1);
            let is_over = attempt >= stored.submit.max_attempts || stored.crashes >= CRASH_LIMIT;
            let status = if stored.is_cancelled { Status::Cancelled } else { Status::Failed };
            if stored.is_cancelled || is_over {
                self.end(task, Ended { status, worker: Some(worker), attempt, execution: None });
            } else {
                (stored.place, stored.attempt) = (Place::Ready, attempt);
            }
        }
    }

    /// Postgres crashes and undoes a claim whose task has started. The next claim has its number again.
    pub(crate) fn crash(&mut self, nth: usize) {
        let ready: Vec<usize> = (0..self.tasks.len()).filter(|task| self.tasks[*task].place == Place::Ready).collect();
        let lost = ready.get(nth % ready.len().max(1)).copied().filter(|task| self.tasks[*task].is_probe());
        if let Some(task) = lost {
            let attempt = self.tasks[task].attempt + 1;
            self.started(task, self.lease_ids + 1, attempt);
        }
        self.line(Event::Crash);
    }
}
