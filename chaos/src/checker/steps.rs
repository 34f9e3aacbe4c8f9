//! What the database saw of a batch, told task by task.

use std::collections::HashSet;

use uuid::Uuid;

use super::{
    facts::{Change, Row},
    verdict::{Report, Rule, Subject},
};
use crate::history::Status;

/// Places in a batch.
pub(super) const PLACES: u8 = 64;

/// Something that happened to a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) seq: i64,
    pub(super) transaction: i64,
    pub(super) at: i64,
    pub(super) what: What,
}

/// See [`crate::audit::Change`].
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Leased { lease: i64, worker: i64, attempt: i16, max_attempts: i16 },
    Left { lease: i64, worker: i64, attempt: i16 },
    Outcome { status: Status, worker: Option<i64>, attempt: i16, execution: Option<Uuid> },
    Touched,
    Scheduled { run_at: i64 },
}

/// The steps of a batch's tasks, by place. Used again for the next batch.
#[derive(Debug, Default)]
pub(super) struct Steps {
    places: Vec<Vec<Step>>,
    live: Vec<Live>,
    /// Every lease of the batch that has begun: its id and worker.
    known: HashSet<(i64, i64)>,
}

/// A lease that goes on.
#[derive(Debug)]
struct Live {
    lease: i64,
    worker: i64,
    mask: u64,
    attempt: i16,
}

impl Steps {
    /// Follows the rows of one batch.
    pub(super) fn follow(&mut self, batch: Uuid, rows: &[Row], report: &mut Report) {
        self.places.resize_with(PLACES.into(), Vec::new);
        self.places.iter_mut().for_each(Vec::clear);
        self.live.clear();
        self.known.clear();
        for row in rows {
            let mask = self.apply(batch, row, report);
            for (place, what) in mask {
                self.places[usize::from(place)].push(Step {
                    seq: row.seq,
                    transaction: row.transaction,
                    at: row.at,
                    what,
                });
            }
        }
    }

    /// Those of the task at a place.
    pub(super) fn of(&self, place: u8) -> &[Step] {
        &self.places[usize::from(place)]
    }

    /// What a row means, and for which places.
    fn apply(&mut self, batch: Uuid, row: &Row, report: &mut Report) -> impl Iterator<Item = (u8, What)> + use<> {
        let (mask, what) = match row.change {
            Change::Leased { lease, worker, mask, attempt, max_attempts, .. } => {
                report.counts.leases += 1;
                self.begin(batch, row.seq, Live { lease, worker, mask, attempt }, report);
                (mask, What::Leased { lease, worker, attempt, max_attempts })
            }
            Change::Shrunk { lease, worker, mask } => {
                let (left, attempt) = self.shrink(batch, row.seq, (lease, worker), mask, report);
                (left, What::Left { lease, worker, attempt })
            }
            Change::Outcome { place, status, worker, attempt, execution } => {
                (1 << place, What::Outcome { status, worker, attempt, execution })
            }
            Change::Touched { place } => (1 << place, What::Touched),
            Change::Scheduled { mask, run_at } => (mask, What::Scheduled { run_at }),
        };
        (0..PLACES).filter(move |place| mask >> place & 1 == 1).map(move |place| (place, what))
    }

    fn begin(&mut self, batch: Uuid, seq: i64, live: Live, report: &mut Report) {
        if !self.known.insert((live.lease, live.worker)) {
            report.violation(Rule::Leases, Subject::Lease(live.lease), || {
                format!("begins twice for worker {} and batch {batch}, again at audit row {seq}", live.worker)
            });
        }
        self.live.push(live);
    }

    /// The tasks that leave a lease, and its attempt.
    fn shrink(
        &mut self,
        batch: Uuid,
        seq: i64,
        (lease, worker): (i64, i64),
        mask: u64,
        report: &mut Report,
    ) -> (u64, i16) {
        let Some(at) = self.live.iter().position(|live| (live.lease, live.worker) == (lease, worker)) else {
            report.violation(Rule::Leases, Subject::Lease(lease), || {
                format!("of worker {worker} and batch {batch} shrinks or ends at audit row {seq}, but is not live")
            });
            return (0, 0);
        };
        let live = &mut self.live[at];
        if mask & !live.mask != 0 {
            report.violation(Rule::Leases, Subject::Lease(lease), || {
                format!(
                    "of worker {worker} and batch {batch} gains tasks at audit row {seq}: {mask:b} after {:b}",
                    live.mask
                )
            });
        }
        let (left, attempt) = (live.mask & !mask, live.attempt);
        live.mask = mask;
        if mask == 0 {
            self.live.swap_remove(at);
        }
        (left, attempt)
    }
}
