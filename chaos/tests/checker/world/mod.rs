//! A queue without a database: makes the evidence of a legal run, step by step. Not the queue's code, and not the checker's.

mod clients;
mod rescue;
pub(crate) mod workers;

use chaos::{
    audit::{Change, Ended, Key, Row, Task},
    checker::Evidence,
    history::{Event, Line, Submit},
};
use uuid::Uuid;

pub(crate) use clients::{Fate, request};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Ready,
    Scheduled { run_at: i64 },
    Leased { lease: usize },
    Ended,
}

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) name: u64,
    pub(crate) submit: Submit,
    pub(crate) created_at: i64,
    pub(crate) place: Place,
    /// Claims burnt.
    pub(crate) attempt: i16,
    pub(crate) crashes: u8,
    /// Its cancellation was asked for.
    pub(crate) is_cancelled: bool,
    /// The execution under way.
    pub(crate) execution: Option<Uuid>,
    pub(crate) outcome: Option<Ended>,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    pub(crate) worker: i64,
    pub(crate) batch: Uuid,
    pub(crate) mask: u64,
    pub(crate) attempt: i16,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) tasks: Vec<Stored>,
    pub(crate) leases: Vec<Lease>,
    pub(crate) workers: Vec<i64>,
    pub(crate) paused: Vec<String>,
    evidence: Evidence,
    database: i64,
    machine: u64,
    seq: i64,
    transaction: i64,
    lease_ids: i64,
    worker_ids: i64,
    executions: u128,
    batches: u128,
    requests: u64,
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self {
            tasks: Vec::new(),
            leases: Vec::new(),
            workers: Vec::new(),
            paused: Vec::new(),
            evidence: Evidence::default(),
            database: 1_790_000_000_000_000,
            machine: 5_000_000,
            seq: 0,
            transaction: 700,
            lease_ids: 0,
            worker_ids: 0,
            executions: 1 << 64,
            batches: 0x0190_0000_0000_7000_8000_0000_0000_0000,
            requests: 0,
        };
        (0..3).for_each(|_| world.worker());
        world
    }
}

impl World {
    /// A new identity.
    pub(crate) fn worker(&mut self) {
        self.worker_ids += 1;
        self.workers.push(self.worker_ids);
    }

    /// Both clocks go on, and do not keep step.
    fn tick(&mut self) {
        self.pass(1_000);
    }

    fn pass(&mut self, micros: u64) {
        self.machine += micros + 7;
        self.database += micros as i64 + 3;
    }

    fn line(&mut self, event: Event) {
        self.tick();
        self.evidence.lines.push(Line { at: self.machine, event });
    }

    fn transaction(&mut self) {
        self.tick();
        self.transaction += 1;
    }

    fn row(&mut self, change: Change) {
        self.seq += 1;
        self.database += 1;
        self.evidence.audit.push(Row { seq: self.seq, transaction: self.transaction, at: self.database, change });
    }

    /// The tasks of a lease that are open.
    pub(crate) fn held(&self, lease: usize) -> Vec<usize> {
        (0..self.tasks.len()).filter(|task| self.tasks[*task].place == Place::Leased { lease }).collect()
    }

    /// Everything as it stands, as the run leaves it behind.
    pub(crate) fn evidence(&self) -> Evidence {
        let mut evidence = self.evidence.clone();
        evidence.tasks = self.tasks.iter().map(Stored::row).collect();
        evidence
    }

    fn key(&mut self, key: String, tasks: Vec<Uuid>) {
        self.evidence.keys.push(Key { key, tasks });
    }

    /// Ends all that is open, as a harness does.
    pub(crate) fn drain(&mut self) {
        for queue in self.paused.clone() {
            self.resume(&queue);
        }
        for lease in 0..self.leases.len() {
            let held = self.held(lease);
            held.iter().for_each(|task| self.start(*task));
            self.finish(&held);
        }
        while self.tasks.iter().any(|task| task.outcome.is_none()) {
            self.promote();
            let worker = self.workers[0];
            let claimed = self.claim(worker, 0, 64).expect("something is ready");
            let held = self.held(claimed);
            held.iter().for_each(|task| self.start(*task));
            self.finish(&held);
        }
    }
}

impl Stored {
    fn row(&self) -> Task {
        Task {
            id: self.id,
            name: Some(self.name),
            created_at: self.created_at,
            max_attempts: self.submit.max_attempts,
            outcome: self.outcome,
            places: u8::from(self.outcome.is_none()),
        }
    }

    pub(crate) fn bit(&self) -> u64 {
        1 << (self.id.as_u128() & 63)
    }

    pub(crate) fn batch(&self) -> Uuid {
        Uuid::from_u128(self.id.as_u128() >> 6 << 6)
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.submit.kind == "probe"
    }
}
