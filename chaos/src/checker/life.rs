//! One task's part of the evidence. Everything that is kept is sorted by task, so all lives pass by in one walk, a batch at a time.

use uuid::Uuid;

use super::{
    evidence::{batch_of, task_at},
    facts::{Facts, Read, Request, Row, Start},
    steps::{PLACES, Step, Steps, What},
    verdict::Report,
};
use crate::audit::Task;

/// What there is about a task, be it stored or not.
#[derive(Debug)]
pub(super) struct Life<'a> {
    pub(super) id: Uuid,
    /// What the database saw, in its order.
    pub(super) steps: &'a [Step],
    /// How it stands at the end; none: it is not there.
    pub(super) stored: Option<&'a Task>,
    /// The request that its name leads to; for one that is not stored, the request that it was an answer to.
    pub(super) request: Option<&'a Request>,
    /// Answers that name it, with their requests.
    pub(super) acknowledged: &'a [(Uuid, u64)],
    pub(super) reads: &'a [Read],
    /// By attempt, lease, time.
    pub(super) starts: &'a [Start],
    /// Whether a client was told that it is cancelled.
    pub(super) is_cancelled: bool,
}

impl Life<'_> {
    /// Its outcome as the database saw it written; the first, if there are more.
    pub(super) fn outcome(&self) -> Option<&Step> {
        self.steps.iter().find(|step| matches!(step.what, What::Outcome { .. }))
    }

    /// The lease that an outcome took the task out of: that of its worker, in its transaction.
    pub(super) fn source(&self, outcome: &Step) -> Option<i64> {
        let What::Outcome { worker: by, attempt: burnt, .. } = outcome.what else { return None };
        self.steps.iter().filter(|step| step.transaction == outcome.transaction).find_map(|step| match step.what {
            What::Left { lease, worker, attempt } if Some(worker) == by && attempt == burnt => Some(lease),
            _ => None,
        })
    }

    /// Whether its handler writes lines.
    pub(super) fn is_probe(&self) -> bool {
        self.request.is_some_and(|request| request.is_probe)
    }
}

/// Shows every life. What is wrong with a lease rather than with a task is reported on the way.
pub(super) fn walk(facts: &Facts, report: &mut Report, mut visit: impl FnMut(&Life<'_>, &mut Report)) {
    let mut rest = Rest::of(facts);
    let mut steps = Steps::default();
    while let Some(batch) = rest.next_batch() {
        let mut part = rest.take(batch_of, batch);
        steps.follow(batch, part.rows, report);
        for place in 0..PLACES {
            let id = task_at(batch, place);
            let mine = part.take(|id| id, id);
            let steps = steps.of(place);
            if !steps.is_empty() || !mine.is_empty() {
                visit(&mine.life(id, steps, facts), report);
            }
        }
    }
}

/// What has not been passed yet, of each kind.
struct Rest<'a> {
    rows: &'a [Row],
    tasks: &'a [Task],
    acknowledged: &'a [(Uuid, u64)],
    reads: &'a [Read],
    starts: &'a [Start],
    cancelled: &'a [Uuid],
}

impl<'a> Rest<'a> {
    fn of(facts: &'a Facts) -> Self {
        let Facts { rows, tasks, acknowledged, reads, starts, cancelled, .. } = facts;
        Self { rows, tasks, acknowledged, reads, starts, cancelled }
    }

    fn next_batch(&self) -> Option<Uuid> {
        let firsts = [
            self.tasks.first().map(|task| task.id),
            self.acknowledged.first().map(|(id, _)| *id),
            self.reads.first().map(|read| read.task),
            self.starts.first().map(|start| start.task),
            self.cancelled.first().copied(),
        ];
        let batches = firsts.into_iter().flatten().map(batch_of);
        batches.chain(self.rows.first().map(|row| row.batch)).min()
    }

    /// Takes off the front what belongs to `wanted`. Rows belong to batches only.
    fn take(&mut self, name: impl Fn(Uuid) -> Uuid, wanted: Uuid) -> Self {
        Self {
            rows: front(&mut self.rows, |row| row.batch == wanted),
            tasks: front(&mut self.tasks, |task| name(task.id) == wanted),
            acknowledged: front(&mut self.acknowledged, |(id, _)| name(*id) == wanted),
            reads: front(&mut self.reads, |read| name(read.task) == wanted),
            starts: front(&mut self.starts, |start| name(start.task) == wanted),
            cancelled: front(&mut self.cancelled, |id| name(*id) == wanted),
        }
    }

    /// But for rows.
    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
            && self.acknowledged.is_empty()
            && self.reads.is_empty()
            && self.starts.is_empty()
            && self.cancelled.is_empty()
    }

    fn life(&self, id: Uuid, steps: &'a [Step], facts: &'a Facts) -> Life<'a> {
        let stored = self.tasks.first();
        let named = stored.and_then(|task| task.name).map(|name| name >> 16);
        let number = named.or_else(|| self.acknowledged.first().map(|(_, request)| *request));
        Life {
            id,
            steps,
            stored,
            request: number.and_then(|number| facts.request(number)),
            acknowledged: self.acknowledged,
            reads: self.reads,
            starts: self.starts,
            is_cancelled: !self.cancelled.is_empty(),
        }
    }
}

fn front<'a, T>(rest: &mut &'a [T], belongs: impl Fn(&T) -> bool) -> &'a [T] {
    let count = rest.iter().take_while(|item| belongs(item)).count();
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}
