//! A short run with something of everything, and ways to reach into its evidence.

use chaos::{
    audit::{Change, Row, Task},
    checker::Evidence,
    history::{Event, Line, Submit},
};
use uuid::Uuid;

use crate::world::{Fate, World, request, workers::Return};

/// Requests of the story, by number.
pub(crate) const DONE: u64 = 1;
pub(crate) const KEYED: u64 = 2;
pub(crate) const REFUSED: u64 = 3;
pub(crate) const UNKNOWN: u64 = 4;
pub(crate) const DELAYED: u64 = 5;
pub(crate) const CANCELLED: u64 = 6;
pub(crate) const RETRIED: u64 = 7;
pub(crate) const RESCUED: u64 = 8;
pub(crate) const FAILED: u64 = 9;
pub(crate) const SLOW: u64 = 10;
/// Who dies in it, with what it holds; and who does most.
pub(crate) const DEAD: i64 = 1;
pub(crate) const BUSY: i64 = 2;

pub(crate) struct Story {
    pub(crate) evidence: Evidence,
}

impl Story {
    pub(crate) fn new() -> Self {
        let mut world = World::default();
        world.submit(request(3), Fate::Acknowledged);
        run(&mut world, 3);
        world.submit(Submit { key: Some("once".to_owned()), ..request(2) }, Fate::Repeated);
        run(&mut world, 2);
        world.submit(request(1), Fate::Refused);
        world.submit(request(1), Fate::Unknown { is_stored: true });
        run(&mut world, 1);
        world.submit(Submit { delay_ms: 5_000, ..request(1) }, Fate::Acknowledged);
        world.promote();
        run(&mut world, 1);
        let cancelled = world.submit(request(1), Fate::Acknowledged);
        world.cancel(cancelled[0]);
        let retried = world.submit(request(1), Fate::Acknowledged);
        world.claim(BUSY, 0, 1);
        world.start(retried[0]);
        world.give_back(retried[0], Return::Retry);
        world.promote();
        run(&mut world, 1);
        let rescued = world.submit(request(1), Fate::Acknowledged);
        world.claim(DEAD, 0, 1);
        world.start(rescued[0]);
        world.die(0, false);
        run(&mut world, 1);
        let failed = world.submit(request(1), Fate::Acknowledged);
        world.claim(BUSY, 0, 1);
        world.start(failed[0]);
        world.fail(&failed);
        world.submit(Submit { queue: "slow".to_owned(), kind: "echo".to_owned(), ..request(7) }, Fate::Acknowledged);
        world.pause("slow");
        world.drain();
        (0..world.tasks.len()).for_each(|task| world.read(task));
        Self { evidence: world.evidence() }
    }

    /// The nth task of a request.
    pub(crate) fn id(&self, request: u64, nth: u64) -> Uuid {
        let is_it = |task: &&Task| task.name == Some(request << 16 | nth);
        self.evidence.tasks.iter().find(is_it).expect("it is stored").id
    }

    pub(crate) fn task(&mut self, request: u64) -> &mut Task {
        let id = self.id(request, 0);
        self.evidence.tasks.iter_mut().find(|task| task.id == id).expect("it is stored")
    }

    /// The first line that matches.
    pub(crate) fn line(&mut self, matches: impl Fn(&Event) -> bool) -> &mut Line {
        self.evidence.lines.iter_mut().find(|line| matches(&line.event)).expect("there is such a line")
    }

    pub(crate) fn drop_line(&mut self, matches: impl Fn(&Event) -> bool) {
        let at = self.evidence.lines.iter().position(|line| matches(&line.event)).expect("there is such a line");
        self.evidence.lines.remove(at);
    }

    /// Says something at the end.
    pub(crate) fn say(&mut self, event: Event) {
        let at = self.evidence.lines.iter().map(|line| line.at).max().unwrap_or(0) + 1;
        self.evidence.lines.push(Line { at, event });
    }

    /// The first change that matches, of a request's batch.
    pub(crate) fn row(&mut self, request: u64, matches: impl Fn(&Change) -> bool) -> &mut Row {
        let batch = self.batch(request);
        let is_it = |row: &&mut Row| of(&row.change) == Some(batch) && matches(&row.change);
        self.evidence.audit.iter_mut().find(is_it).expect("there is such a change")
    }

    pub(crate) fn drop_row(&mut self, request: u64, matches: impl Fn(&Change) -> bool) {
        let seq = self.row(request, matches).seq;
        self.evidence.audit.retain(|row| row.seq != seq);
    }

    /// Changes something at the end, in a transaction of its own.
    pub(crate) fn change(&mut self, change: Change) {
        let last = self.evidence.audit.iter().max_by_key(|row| row.seq).expect("there are changes");
        let row = Row { seq: last.seq + 10, transaction: last.transaction + 1, at: last.at + 1000, change };
        self.evidence.audit.push(row);
    }

    pub(crate) fn batch(&self, request: u64) -> Uuid {
        batch_of(self.id(request, 0))
    }

    /// The outcome of a request's first task, as written.
    pub(crate) fn outcome(&mut self, request: u64) -> &mut Row {
        let id = self.id(request, 0);
        self.row(request, |change| matches!(change, Change::Outcome { task, .. } if *task == id))
    }

    /// The last start of a request's first task.
    pub(crate) fn start(&mut self, request: u64) -> &mut Line {
        let id = self.id(request, 0);
        let is_it = |line: &&mut Line| matches!(line.event, Event::Start { task, .. } if task == id);
        self.evidence.lines.iter_mut().rev().find(is_it).expect("it was started")
    }

    /// The execution that its result names.
    pub(crate) fn execution(&mut self, request: u64) -> Uuid {
        self.task(request).outcome.and_then(|outcome| outcome.execution).expect("it is done")
    }
}

/// A worker claims so many tasks and finishes them.
fn run(world: &mut World, tasks: usize) {
    let lease = world.claim(BUSY, 0, tasks).expect("something is ready");
    let held = world.held(lease);
    held.iter().for_each(|task| world.start(*task));
    world.finish(&held);
}

pub(crate) fn batch_of(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() >> 6 << 6)
}

fn of(change: &Change) -> Option<Uuid> {
    match change {
        Change::Leased { batch, .. }
        | Change::LeaseShrunk { batch, .. }
        | Change::LeaseGone { batch, .. }
        | Change::Scheduled { batch, .. } => Some(*batch),
        Change::Outcome { task, .. } | Change::OutcomeTouched { task } => Some(batch_of(*task)),
        Change::Dead { .. } => None,
    }
}
