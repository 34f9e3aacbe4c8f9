//! What workers do: claim, start, finish, give back.

use chaos::{
    audit::{Change, Ended},
    history::{Ending, Event, Status},
};
use uuid::Uuid;

use super::{Lease, Place, Stored, World};

/// How a task goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    Retry,
    Again,
    Release,
}

impl World {
    /// What is due becomes ready; if nothing is ready then, the time passes until something is.
    pub(crate) fn promote(&mut self) {
        let next = self.tasks.iter().filter_map(|task| match task.place {
            Place::Scheduled { run_at } => Some(run_at),
            _ => None,
        });
        let Some(next) = next.min() else { return };
        if next > self.database && !self.tasks.iter().any(|task| task.place == Place::Ready) {
            self.pass((next - self.database) as u64 + 10);
        }
        let now = self.database;
        for task in &mut self.tasks {
            if matches!(task.place, Place::Scheduled { run_at } if run_at <= now) {
                task.place = Place::Ready;
            }
        }
    }

    /// Claims up to so many tasks of one batch, the nth that is ready in a queue that is not paused. None: nothing is.
    pub(crate) fn claim(&mut self, worker: i64, nth: usize, tasks: usize) -> Option<usize> {
        let picked = self.pick(None, nth, tasks)?;
        Some(self.lease(worker, &picked))
    }

    /// As [`claim`](Self::claim), of one queue.
    pub(crate) fn claim_of(&mut self, worker: i64, queue: Option<&str>, tasks: usize) -> Option<usize> {
        let picked = self.pick(queue, 0, tasks)?;
        Some(self.lease(worker, &picked))
    }

    /// Tasks of one row of `ready`: of one batch, with one number of attempts.
    fn pick(&self, queue: Option<&str>, nth: usize, tasks: usize) -> Option<Vec<usize>> {
        let can_be_claimed = |task: &Stored| {
            task.place == Place::Ready
                && queue.is_none_or(|queue| task.submit.queue == queue)
                && !self.paused.contains(&task.submit.queue)
        };
        let ready: Vec<usize> = (0..self.tasks.len()).filter(|task| can_be_claimed(&self.tasks[*task])).collect();
        let example = &self.tasks[*ready.get(nth % ready.len().max(1))?];
        let same = |task: &usize| {
            let task = &self.tasks[*task];
            (task.batch(), task.attempt, task.crashes) == (example.batch(), example.attempt, example.crashes)
        };
        Some(ready.into_iter().filter(same).take(tasks.max(1)).collect())
    }

    fn lease(&mut self, worker: i64, tasks: &[usize]) -> usize {
        self.transaction();
        self.lease_ids += 1;
        let (id, example) = (self.lease_ids, self.tasks[tasks[0]].clone());
        let mask = tasks.iter().map(|task| self.tasks[*task].bit()).sum::<u64>();
        let (batch, attempt, max_attempts) = (example.batch(), example.attempt + 1, example.submit.max_attempts);
        let queue = example.submit.queue;
        self.row(Change::Leased { lease: id, worker, batch, mask: mask.cast_signed(), attempt, max_attempts, queue });
        self.leases.push(Lease { id, worker, batch, mask, attempt });
        let lease = self.leases.len() - 1;
        for task in tasks {
            self.tasks[*task].place = Place::Leased { lease };
        }
        lease
    }

    /// A handler starts a leased task, once.
    pub(crate) fn start(&mut self, task: usize) {
        let Place::Leased { lease } = self.tasks[task].place else { return };
        let Lease { id, attempt, .. } = self.leases[lease];
        if self.tasks[task].is_probe() && self.tasks[task].execution.is_none() {
            let execution = self.started(task, id, attempt);
            self.tasks[task].execution = Some(execution);
        }
    }

    /// The line that says so.
    pub(crate) fn started(&mut self, task: usize, lease: i64, attempt: i16) -> Uuid {
        self.executions += 1;
        let execution = Uuid::from_u128(self.executions);
        let Stored { id, name, .. } = self.tasks[task];
        self.line(Event::Start { execution, task: id, attempt, lease, name });
        execution
    }

    fn ended(&mut self, task: usize, ending: Ending) -> Option<Uuid> {
        let execution = self.tasks[task].execution.take()?;
        self.line(Event::End { execution, ending });
        Some(execution)
    }

    /// Tasks of a lease, all started, end as done, or as cancelled when that was asked for.
    pub(crate) fn finish(&mut self, tasks: &[usize]) {
        let executions: Vec<_> = tasks.iter().map(|task| self.ended(*task, Ending::Done)).collect();
        self.written(tasks, |task, index| match task.is_cancelled && index % 2 == 0 {
            true => (Status::Cancelled, None),
            false => (Status::Done, executions[index]),
        });
    }

    /// They fail for good.
    pub(crate) fn fail(&mut self, tasks: &[usize]) {
        for task in tasks {
            self.ended(*task, Ending::Fatal);
        }
        self.written(tasks, |_, _| (Status::Failed, None));
    }

    /// One transaction of the finisher. Rows of outcomes may come before that of the lease, or after it.
    fn written(&mut self, tasks: &[usize], outcome: impl Fn(&Stored, usize) -> (Status, Option<Uuid>)) {
        let Some(Place::Leased { lease }) = tasks.first().map(|task| self.tasks[*task].place) else { return };
        self.transaction();
        let Lease { worker, attempt, .. } = self.leases[lease];
        let bits = tasks.iter().map(|task| self.tasks[*task].bit()).sum();
        let is_lease_first = self.transaction % 2 == 0;
        if is_lease_first {
            self.shrink(lease, bits);
        }
        for (index, task) in tasks.iter().enumerate() {
            let (status, execution) = outcome(&self.tasks[*task], index);
            self.end(*task, Ended { status, worker: Some(worker), attempt, execution });
        }
        if !is_lease_first {
            self.shrink(lease, bits);
        }
    }

    /// A task goes back. With no attempt left it fails instead; if its cancellation was asked for it ends.
    pub(crate) fn give_back(&mut self, task: usize, why: Return) {
        let Place::Leased { lease } = self.tasks[task].place else { return };
        let Stored { submit, is_cancelled, .. } = self.tasks[task].clone();
        let Lease { worker, batch, attempt, .. } = self.leases[lease];
        if why == Return::Retry && attempt >= submit.max_attempts {
            return self.fail(&[task]);
        }
        match why {
            Return::Retry => drop(self.ended(task, Ending::Retry)),
            Return::Again => drop(self.ended(task, Ending::Again)),
            Return::Release => self.tasks[task].execution = None,
        }
        self.transaction();
        let bit = self.tasks[task].bit();
        if is_cancelled {
            self.end(task, Ended { status: Status::Cancelled, worker: Some(worker), attempt, execution: None });
        } else {
            let run_at = self.database + 50_000;
            self.tasks[task].attempt = if why == Return::Retry { attempt } else { attempt - 1 };
            if why == Return::Release {
                self.tasks[task].place = Place::Ready;
            } else {
                self.row(Change::Scheduled { batch, mask: bit.cast_signed(), run_at });
                self.tasks[task].place = Place::Scheduled { run_at };
            }
        }
        self.shrink(lease, bit);
    }

    /// Takes bits out of a lease, which ends with the last; none: marks it.
    pub(super) fn shrink(&mut self, lease: usize, bits: u64) {
        let mask = self.leases[lease].mask & !bits;
        self.leases[lease].mask = mask;
        let Lease { id: lease, worker, batch, .. } = self.leases[lease];
        match mask {
            0 => self.row(Change::LeaseGone { lease, worker, batch }),
            _ => self.row(Change::LeaseShrunk { lease, worker, batch, mask: mask.cast_signed() }),
        }
    }

    pub(super) fn end(&mut self, task: usize, outcome: Ended) {
        let Ended { status, worker, attempt, execution } = outcome;
        self.row(Change::Outcome { task: self.tasks[task].id, status, worker, attempt, execution });
        self.tasks[task].place = Place::Ended;
        self.tasks[task].outcome = Some(outcome);
    }
}
