//! The whole queue as a map: what the tables must amount to.

use std::collections::BTreeMap;

use queue::{
    Status, TaskId, cancel::Cancelled, claim::Claimed, finish::Fenced, requeue::Requeued, rescue::CRASH_LIMIT,
    retry::Retried, workers::WorkerId,
};

use super::steps::{End, Why};

/// The right to write: what a claim gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) worker: WorkerId,
    pub(super) lease: queue::claim::LeaseId,
    pub(super) id: TaskId,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) status: Status,
    pub(super) attempt: i16,
    pub(super) max_attempts: i16,
    is_urgent: bool,
    crashes: i16,
    held: Option<Held>,
    is_cancel_requested: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) tasks: BTreeMap<TaskId, Entry>,
    /// Leases that are over.
    pub(super) late: Vec<Held>,
}

impl Model {
    pub(super) fn submit(&mut self, ids: &[TaskId], max_attempts: i16, is_later: bool, is_urgent: bool) {
        let status = if is_later { Status::Scheduled } else { Status::Queued };
        let entry =
            Entry { status, attempt: 0, max_attempts, is_urgent, crashes: 0, held: None, is_cancel_requested: false };
        self.tasks.extend(ids.iter().map(|id| (*id, entry)));
    }

    /// Which queued tasks a claim gets is the database's choice, but urgent ones come first and an empty claim means none.
    pub(super) fn claim(&mut self, worker: WorkerId, most: usize, rows: usize, claimed: &[Claimed]) {
        let queued = self.count(|task| task.status == Status::Queued);
        assert!(claimed.len() <= most);
        assert!(claimed.len() >= queued.min(most).min(rows), "{} of {queued} queued", claimed.len());
        for task in claimed {
            let entry = self.tasks.get_mut(&task.id).expect("what is claimed was submitted");
            assert_eq!(entry.status, Status::Queued, "{}", task.id);
            assert_eq!(task.attempt, entry.attempt + 1);
            assert_eq!(task.max_attempts, entry.max_attempts);
            entry.status = Status::Processing;
            entry.attempt += 1;
            entry.held = Some(Held { worker, lease: task.lease, id: task.id });
        }
        let got_patient = claimed.iter().any(|task| !self.tasks[&task.id].is_urgent);
        let left_urgent = self.count(|task| task.status == Status::Queued && task.is_urgent);
        assert!(!got_patient || left_urgent == 0, "urgent ones first");
    }

    pub(super) fn held_by(&self, worker: WorkerId) -> Vec<Held> {
        self.tasks.values().filter_map(|task| task.held).filter(|held| held.worker == worker).collect()
    }

    pub(super) fn finish(&mut self, held: Held, how: End, answer: Fenced) {
        let entry = self.entry(held.id);
        if entry.held == Some(held) {
            entry.leave(match how {
                End::Done => Status::Done,
                End::Failed => Status::Failed,
                End::Cancelled => Status::Cancelled,
            });
            self.late.push(held);
        }
        assert_eq!(answer, Fenced::Applied, "{held:?}");
    }

    pub(super) fn give_back(&mut self, held: Held, why: Why, answer: Requeued) {
        let entry = self.entry(held.id);
        if entry.held == Some(held) {
            let is_cancelled = entry.is_cancel_requested;
            match why {
                _ if is_cancelled => entry.leave(Status::Cancelled),
                Why::Retry => entry.leave(Status::Scheduled),
                Why::Again => entry.leave(Status::Scheduled),
                Why::Release => entry.leave(Status::Queued),
            }
            if !is_cancelled && !matches!(why, Why::Retry) {
                entry.attempt -= 1;
            }
            assert_eq!(answer, if is_cancelled { Requeued::Cancelled } else { Requeued::Applied });
            self.late.push(held);
        }
        assert_ne!(answer, Requeued::LeaseLost);
    }

    pub(super) fn cancel(&mut self, id: TaskId) -> Cancelled {
        let entry = self.entry(id);
        match (entry.status, entry.held) {
            (_, Some(held)) => {
                entry.is_cancel_requested = true;
                Cancelled::Asked(held.worker)
            }
            (status, _) if status.is_final() => Cancelled::AlreadyFinal(status),
            _ => {
                entry.leave(Status::Cancelled);
                Cancelled::Now
            }
        }
    }

    pub(super) fn retry(&mut self, id: TaskId) -> Retried {
        let entry = self.entry(id);
        match entry.status {
            Status::Done => Retried::Done,
            Status::Failed | Status::Cancelled => {
                entry.leave(Status::Queued);
                (entry.attempt, entry.crashes) = (0, 0);
                Retried::Queued("default".to_owned())
            }
            _ => Retried::Open,
        }
    }

    /// Returns how many wait again and how many ended.
    pub(super) fn die(&mut self, worker: WorkerId) -> (usize, usize) {
        let held = self.held_by(worker);
        let mut returned = 0;
        for task in &held {
            let entry = self.entry(task.id);
            entry.crashes += 1;
            if entry.is_cancel_requested {
                entry.leave(Status::Cancelled);
            } else if entry.attempt >= entry.max_attempts || entry.crashes >= CRASH_LIMIT {
                entry.leave(Status::Failed);
            } else {
                entry.leave(if entry.crashes < 2 { Status::Queued } else { Status::Scheduled });
                returned += 1;
            }
        }
        self.late.extend(&held);
        (returned, held.len() - returned)
    }

    pub(super) fn promote(&mut self) {
        for entry in self.tasks.values_mut().filter(|entry| entry.status == Status::Scheduled) {
            entry.status = Status::Queued;
        }
    }

    /// The worker's tasks that it is asked to stop.
    pub(super) fn cancelled_of(&self, worker: WorkerId) -> Vec<TaskId> {
        self.held_by(worker).iter().map(|held| held.id).filter(|id| self.tasks[id].is_cancel_requested).collect()
    }

    pub(super) fn entry(&mut self, id: TaskId) -> &mut Entry {
        self.tasks.get_mut(&id).expect("a task of this history")
    }

    fn count(&self, is_so: impl Fn(&Entry) -> bool) -> usize {
        self.tasks.values().filter(|task| is_so(task)).count()
    }
}

impl Entry {
    fn leave(&mut self, status: Status) {
        self.status = status;
        self.held = None;
        self.is_cancel_requested = false;
    }
}
