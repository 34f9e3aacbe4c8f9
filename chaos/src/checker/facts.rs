//! Evidence in little memory, sorted so that rules find what belongs together by a search or side by side.
//!
//! A run has millions of tasks, so nothing here has a pointer per task but the ids of an answer, and names of queues are numbers.

use std::collections::HashMap;

use uuid::Uuid;

use super::evidence::{batch_of, place_of};
use crate::{
    audit::{self, Key, Task},
    history::{self, Ending, Event, Line, Micros, Status},
};

/// The kind whose handler writes lines.
const PROBE: &str = "probe";

/// What a client sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) at: Micros,
    pub(super) key: Option<Box<str>>,
    pub(super) is_probe: bool,
    pub(super) delay_ms: u64,
    pub(super) max_attempts: i16,
    pub(super) tasks: u16,
}

/// What it was told.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) request: u64,
    pub(super) ids: Box<[Uuid]>,
}

/// A final state that a client saw.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) task: Uuid,
    pub(super) at: Micros,
    pub(super) status: Status,
    pub(super) attempt: i16,
    pub(super) execution: Option<Uuid>,
}

/// A run of a handler.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) execution: Uuid,
    pub(super) task: Uuid,
    pub(super) at: Micros,
    pub(super) lease: i64,
    pub(super) name: u64,
    pub(super) attempt: i16,
}

/// Its end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) execution: Uuid,
    pub(super) at: Micros,
    pub(super) ending: Ending,
}

/// A pause, or the resume that ends it.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) queue: u32,
    pub(super) database_at: i64,
    pub(super) is_resume: bool,
}

/// A change of one batch.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) batch: Uuid,
    pub(super) seq: i64,
    pub(super) transaction: i64,
    pub(super) at: i64,
    pub(super) change: Change,
}

/// As [`audit::Change`], without what a [`Row`] says. A lease that is gone is one shrunk to nothing.
#[derive(Debug)]
pub(super) enum Change {
    Leased { lease: i64, worker: i64, mask: u64, attempt: i16, max_attempts: i16, queue: u32 },
    Shrunk { lease: i64, worker: i64, mask: u64 },
    Outcome { place: u8, status: Status, worker: Option<i64>, attempt: i16, execution: Option<Uuid> },
    Touched { place: u8 },
    Scheduled { mask: u64, run_at: i64 },
}

/// Everything, sorted as the fields say once [`Facts::sort`] has run.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// By number.
    pub(super) requests: Vec<Request>,
    /// By request, as they came.
    pub(super) answers: Vec<Answer>,
    /// Requests.
    pub(super) refused: Vec<u64>,
    /// What was answered, with the request; by task.
    pub(super) acknowledged: Vec<(Uuid, u64)>,
    /// Tasks.
    pub(super) cancelled: Vec<Uuid>,
    /// By task.
    pub(super) reads: Vec<Read>,
    /// By task, attempt, lease, time.
    pub(super) starts: Vec<Start>,
    /// By execution.
    pub(super) ends: Vec<End>,
    /// By queue and time.
    pub(super) pauses: Vec<Pause>,
    /// By time.
    pub(super) crashes: Vec<Micros>,
    /// By batch, then as they were made.
    pub(super) rows: Vec<Row>,
    /// `seq` by worker.
    pub(super) deaths: HashMap<i64, i64>,
    /// By id.
    pub(super) tasks: Vec<Task>,
    /// Names of stored tasks, and their ids; by name.
    pub(super) names: Vec<(u64, Uuid)>,
    /// By key.
    pub(super) keys: Vec<Key>,
    /// Names of queues, by number.
    pub(super) queues: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Facts {
    pub(super) fn line(&mut self, Line { at, event }: Line) {
        match event {
            Event::Submit(submit) => self.submit(at, submit),
            Event::Acknowledged { request, ids } => {
                self.acknowledged.extend(ids.iter().map(|id| (*id, request)));
                self.answers.push(Answer { request, ids: ids.into() });
            }
            Event::Refused { request } => self.refused.push(request),
            Event::Cancelled { task } => self.cancelled.push(task),
            Event::Read { task, status, attempt, execution } => {
                self.reads.push(Read { task, at, status, attempt, execution });
            }
            Event::Paused { queue, database_at } => self.pause(queue, database_at, false),
            Event::Resume { queue, database_at } => self.pause(queue, database_at, true),
            Event::Start { execution, task, attempt, lease, name } => {
                self.starts.push(Start { execution, task, at, lease, name, attempt });
            }
            Event::End { execution, ending } => self.ends.push(End { execution, at, ending }),
            Event::Crash => self.crashes.push(at),
            Event::Unknown { .. } | Event::Fault { .. } | Event::Over { .. } => {}
        }
    }

    fn submit(&mut self, at: Micros, submit: history::Submit) {
        self.requests.push(Request {
            number: submit.request,
            at,
            key: submit.key.map(Into::into),
            is_probe: submit.kind == PROBE,
            delay_ms: submit.delay_ms,
            max_attempts: submit.max_attempts,
            tasks: submit.tasks,
        });
    }

    fn pause(&mut self, queue: String, database_at: i64, is_resume: bool) {
        let queue = self.queue(queue);
        self.pauses.push(Pause { queue, database_at, is_resume });
    }

    pub(super) fn row(&mut self, row: audit::Row) {
        let audit::Row { seq, transaction, at, change } = row;
        let (batch, change) = match change {
            audit::Change::Leased { lease, worker, batch, mask, attempt, max_attempts, queue } => {
                let (mask, queue) = (mask.cast_unsigned(), self.queue(queue));
                (batch, Change::Leased { lease, worker, mask, attempt, max_attempts, queue })
            }
            audit::Change::LeaseShrunk { lease, worker, batch, mask } => {
                (batch, Change::Shrunk { lease, worker, mask: mask.cast_unsigned() })
            }
            audit::Change::LeaseGone { lease, worker, batch } => (batch, Change::Shrunk { lease, worker, mask: 0 }),
            audit::Change::Outcome { task, status, worker, attempt, execution } => {
                (batch_of(task), Change::Outcome { place: place_of(task), status, worker, attempt, execution })
            }
            audit::Change::OutcomeTouched { task } => (batch_of(task), Change::Touched { place: place_of(task) }),
            audit::Change::Scheduled { batch, mask, run_at } => {
                (batch, Change::Scheduled { mask: mask.cast_unsigned(), run_at })
            }
            audit::Change::Dead { worker } => {
                self.deaths.entry(worker).and_modify(|first| *first = seq.min(*first)).or_insert(seq);
                return;
            }
        };
        self.rows.push(Row { batch, seq, transaction, at, change });
    }

    pub(super) fn task(&mut self, task: Task) {
        self.names.extend(task.name.map(|name| (name, task.id)));
        self.tasks.push(task);
    }

    pub(super) fn key(&mut self, key: Key) {
        self.keys.push(key);
    }

    /// To be called once, when all is there.
    pub(super) fn sort(&mut self) {
        self.requests.sort_unstable_by_key(|request| request.number);
        self.answers.sort_by_key(|answer| answer.request);
        self.refused.sort_unstable();
        self.acknowledged.sort_unstable();
        self.cancelled.sort_unstable();
        self.reads.sort_unstable_by_key(|read| read.task);
        self.starts.sort_unstable_by_key(|start| (start.task, start.attempt, start.lease, start.at));
        self.ends.sort_unstable_by_key(|end| end.execution);
        self.pauses.sort_by_key(|pause| (pause.queue, pause.database_at));
        self.crashes.sort_unstable();
        self.rows.sort_unstable_by_key(|row| (row.batch, row.seq));
        self.tasks.sort_unstable_by_key(|task| task.id);
        self.names.sort_unstable();
        self.keys.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    }

    pub(super) fn request(&self, number: u64) -> Option<&Request> {
        let at = self.requests.binary_search_by_key(&number, |request| request.number).ok()?;
        self.requests.get(at)
    }

    pub(super) fn stored(&self, id: Uuid) -> Option<&Task> {
        let at = self.tasks.binary_search_by_key(&id, |task| task.id).ok()?;
        self.tasks.get(at)
    }

    pub(super) fn end(&self, execution: Uuid) -> Option<&End> {
        let at = self.ends.binary_search_by_key(&execution, |end| end.execution).ok()?;
        self.ends.get(at)
    }

    fn queue(&mut self, name: String) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = self.queues.len() as u32;
        self.queues.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}
