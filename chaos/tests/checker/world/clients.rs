//! What clients do: submit, cancel, read, pause.

use chaos::{
    audit::{Change, Ended},
    history::{Event, Status, Submit},
};
use uuid::Uuid;

use super::{Place, Stored, World};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    /// Acknowledged; the answer came twice.
    Repeated,
    Refused,
    /// The answer was lost. Stored or not.
    Unknown {
        is_stored: bool,
    },
}

/// A plain request, to be changed.
pub(crate) fn request(tasks: u16) -> Submit {
    Submit {
        request: 0,
        key: None,
        queue: "default".to_owned(),
        kind: "probe".to_owned(),
        delay_ms: 0,
        max_attempts: 3,
        tasks,
    }
}

impl World {
    /// Sends a request; returns the indexes of what is stored. Its number is given here.
    pub(crate) fn submit(&mut self, mut submit: Submit, fate: Fate) -> Vec<usize> {
        self.requests += 1;
        submit.request = self.requests;
        self.line(Event::Submit(submit.clone()));
        let is_stored = !matches!(fate, Fate::Refused | Fate::Unknown { is_stored: false });
        let stored = if is_stored { self.store(&submit) } else { Vec::new() };
        let request = submit.request;
        let ids: Vec<_> = stored.iter().map(|task| self.tasks[*task].id).collect();
        match fate {
            Fate::Acknowledged => self.line(Event::Acknowledged { request, ids }),
            Fate::Repeated => {
                self.line(Event::Acknowledged { request, ids: ids.clone() });
                self.line(Event::Acknowledged { request, ids });
            }
            Fate::Refused => self.line(Event::Refused { request }),
            Fate::Unknown { .. } => self.line(Event::Unknown { request }),
        }
        stored
    }

    fn store(&mut self, submit: &Submit) -> Vec<usize> {
        self.transaction();
        let clock = self.database;
        let run_at = clock + submit.delay_ms as i64 * 1000;
        let place = if submit.delay_ms > 0 { Place::Scheduled { run_at } } else { Place::Ready };
        let first = self.tasks.len();
        for index in 0..u64::from(submit.tasks) {
            if index % 64 == 0 {
                self.batches += 64;
            }
            self.tasks.push(Stored {
                id: Uuid::from_u128(self.batches + u128::from(index % 64)),
                name: submit.request << 16 | index,
                submit: submit.clone(),
                created_at: clock + 5 + index as i64,
                place,
                attempt: 0,
                crashes: 0,
                is_cancelled: false,
                execution: None,
                outcome: None,
            });
        }
        let stored: Vec<usize> = (first..self.tasks.len()).collect();
        if submit.delay_ms > 0 {
            for batch in stored.chunks(64) {
                let mask = batch.iter().map(|task| self.tasks[*task].bit()).sum::<u64>().cast_signed();
                self.row(Change::Scheduled { batch: self.tasks[batch[0]].batch(), mask, run_at });
            }
        }
        if let Some(key) = &submit.key {
            let ids = stored.iter().map(|task| self.tasks[*task].id).collect();
            self.key(key.clone(), ids);
        }
        stored
    }

    /// Cancels a task: it ends if it waits, and is marked if it runs.
    pub(crate) fn cancel(&mut self, task: usize) {
        let Stored { id, place, attempt, .. } = self.tasks[task];
        match place {
            Place::Ready | Place::Scheduled { .. } => {
                self.transaction();
                self.end(task, Ended { status: Status::Cancelled, worker: None, attempt, execution: None });
                self.line(Event::Cancelled { task: id });
            }
            Place::Leased { lease } => {
                self.transaction();
                self.shrink(lease, 0);
                self.tasks[task].is_cancelled = true;
            }
            Place::Ended => {}
        }
    }

    /// Reads a task that has ended.
    pub(crate) fn read(&mut self, task: usize) {
        let Stored { id, outcome, .. } = self.tasks[task];
        if let Some(Ended { status, attempt, execution, .. }) = outcome {
            self.line(Event::Read { task: id, status, attempt, execution });
        }
    }

    /// Pauses a queue while each worker has a claim under way.
    pub(crate) fn pause(&mut self, queue: &str) {
        self.tick();
        self.line(Event::Paused { queue: queue.to_owned(), database_at: self.database });
        for worker in self.workers.clone() {
            self.claim_of(worker, Some(queue), 2);
        }
        self.paused.push(queue.to_owned());
        self.pass(20_000_000);
    }

    /// Lets it run again.
    pub(crate) fn resume(&mut self, queue: &str) {
        self.line(Event::Resume { queue: queue.to_owned(), database_at: self.database });
        self.paused.retain(|paused| paused != queue);
        self.tick();
    }
}
