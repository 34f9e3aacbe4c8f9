//! Who held what, and when.

use chaos::{audit::Change, checker::Rule, history::Event};

use super::{
    Forgery,
    story::{BUSY, CANCELLED, DEAD, DELAYED, DONE, FAILED, RESCUED, RETRIED, SLOW, Story},
};

pub(super) const FORGERIES: &[Forgery] = &[
    (Rule::Leases, "a lease overlaps the one before", |story| story.drop_row(RETRIED, is_gone)),
    (Rule::Leases, "a task that has ended is leased", |story| lease(story, DONE, 5, 2)),
    (Rule::Leases, "a lease begins twice", |story| {
        let row = story.row(DONE, is_leased).clone();
        story.change(row.change);
    }),
    (Rule::Leases, "a lease ends twice", |story| {
        let row = story.row(DONE, is_gone).clone();
        story.change(row.change);
    }),
    (Rule::Leases, "a lease ends that nobody was given", |story| story.drop_row(DONE, is_leased)),
    (Rule::Leases, "a lease ends as another worker's", |story| {
        if let Change::LeaseGone { worker, .. } = &mut story.row(DONE, is_gone).change {
            *worker += 1;
        }
    }),
    (Rule::Leases, "a lease gains a task", |story| {
        if let Change::Leased { mask, .. } = &mut story.row(DONE, is_leased).change {
            *mask = 0b011;
        }
        let row = story.row(DONE, is_gone).clone();
        let Change::LeaseGone { lease, worker, batch } = row.change else { unreachable!() };
        let shrunk = Change::LeaseShrunk { lease, worker, batch, mask: 0b110 };
        story.row(DONE, is_gone).change = shrunk;
    }),
    (Rule::Fence, "an outcome comes without a lease", |story| {
        story.drop_row(FAILED, is_leased);
        story.drop_row(FAILED, is_gone);
    }),
    (Rule::Fence, "an outcome comes a transaction after its lease ended", |story| {
        story.outcome(FAILED).transaction += 100
    }),
    (Rule::Fence, "a worker ends what another one holds", |story| {
        let row = story.outcome(FAILED);
        if let Change::Outcome { worker, .. } = &mut row.change {
            *worker = Some(BUSY + 1);
        }
    }),
    (Rule::Fence, "a dead worker ends what was rescued from it", |story| {
        if let Change::Outcome { worker, .. } = &mut story.outcome(RESCUED).change {
            *worker = Some(DEAD);
        }
    }),
    (Rule::Fence, "an outcome has another attempt than its lease", |story| {
        if let Change::Outcome { attempt, .. } = &mut story.outcome(DONE).change {
            *attempt = 2;
        }
    }),
    (Rule::Fence, "a task is done by nobody", |story| {
        if let Change::Outcome { worker, .. } = &mut story.outcome(DONE).change {
            *worker = None;
        }
    }),
    (Rule::Fence, "a task is cancelled as waiting while it is leased", |story| {
        let ended = story.outcome(CANCELLED).seq;
        lease(story, CANCELLED, 5, 1);
        let claimed = story.evidence.audit.last_mut().expect("just made");
        claimed.seq = ended - 1;
        for row in story.evidence.audit.iter_mut().filter(|row| row.seq >= ended) {
            row.seq += 1;
        }
        story.evidence.audit.last_mut().expect("just made").seq = ended;
        story.outcome(CANCELLED).seq = ended + 1;
        story.evidence.audit.iter_mut().filter(|row| row.seq > ended).for_each(|row| row.seq += 1);
    }),
    (Rule::Fence, "a worker claims after it was found dead", |story| {
        let dead = story.evidence.audit.iter_mut().find(|row| matches!(row.change, Change::Dead { .. }));
        dead.expect("one dies").seq = 0;
    }),
    (Rule::Schedule, "a delayed task is claimed a microsecond early", |story| {
        let Change::Scheduled { run_at, .. } = story.row(DELAYED, is_scheduled).change else { unreachable!() };
        story.row(DELAYED, is_leased).at = run_at - 1;
    }),
    (Rule::Schedule, "a delayed task never waits", |story| story.drop_row(DELAYED, is_scheduled)),
    (Rule::Schedule, "a delayed task is given too short a wait", |story| {
        let submit = story.line(|event| matches!(event, Event::Submit(submit) if submit.request == DELAYED));
        let Event::Submit(submit) = &mut submit.event else { unreachable!() };
        submit.delay_ms = 60_000;
    }),
    (Rule::Schedule, "a handler starts a delayed task early", |story| {
        let sent = story.line(|event| matches!(event, Event::Submit(submit) if submit.request == DELAYED)).at;
        story.start(DELAYED).at = sent + 4_900_000;
    }),
    (Rule::Schedule, "a retry comes before its time", |story| {
        if let Change::Scheduled { run_at, .. } = &mut story.row(RETRIED, is_scheduled).change {
            *run_at += 1_000_000_000;
        }
    }),
    (Rule::Pauses, "a worker claims twice after a pause", |story| {
        let (at, queue) = paused(story);
        claim_at(story, at + 10, &queue, BUSY + 70);
        claim_at(story, at + 20, &queue, BUSY + 70);
    }),
    (Rule::Pauses, "a worker claims long after a pause", |story| {
        let (at, queue) = paused(story);
        claim_at(story, at + 15_000_001, &queue, BUSY + 70);
    }),
    (Rule::Pauses, "nobody resumed the queue", |story| story.drop_line(|event| matches!(event, Event::Resume { .. }))),
    (Rule::Attempts, "a first lease is a second attempt", |story| attempt(story, DONE, 2)),
    (Rule::Attempts, "an attempt is beyond the limit", |story| attempt(story, DONE, 4)),
    (Rule::Attempts, "an attempt is left out", |story| {
        let batch = story.batch(RETRIED);
        let is_it =
            |row: &&mut chaos::audit::Row| matches!(row.change, Change::Leased { batch: of, .. } if of == batch);
        let last = story.evidence.audit.iter_mut().rev().find(is_it).expect("it was claimed twice");
        if let Change::Leased { attempt, .. } = &mut last.change {
            *attempt = 3;
        }
    }),
    (Rule::Attempts, "an attempt falls", |story| {
        let batch = story.batch(RETRIED);
        let (lease, mask) = (900, 1);
        let change = Change::Leased {
            lease,
            worker: BUSY,
            batch,
            mask,
            attempt: 1,
            max_attempts: 3,
            queue: "default".to_owned(),
        };
        story.change(change);
    }),
    (Rule::Attempts, "a task may have more attempts than were asked for", |story| story.task(DONE).max_attempts = 9),
    (Rule::Attempts, "a handler starts an attempt beyond the limit", |story| {
        if let Event::Start { attempt, .. } = &mut story.start(DONE).event {
            *attempt = 4;
        }
    }),
    (Rule::Attempts, "a task that was never claimed is cancelled with an attempt burnt", |story| {
        if let Change::Outcome { attempt, .. } = &mut story.outcome(CANCELLED).change {
            *attempt = 1;
        }
    }),
];

pub(super) fn is_leased(change: &Change) -> bool {
    matches!(change, Change::Leased { .. })
}

pub(super) fn is_gone(change: &Change) -> bool {
    matches!(change, Change::LeaseGone { .. })
}

fn is_scheduled(change: &Change) -> bool {
    matches!(change, Change::Scheduled { .. })
}

fn lease(story: &mut Story, request: u64, worker: i64, attempt: i16) {
    let batch = story.batch(request);
    let queue = "default".to_owned();
    story.change(Change::Leased { lease: 901, worker, batch, mask: 1, attempt, max_attempts: 3, queue });
}

fn attempt(story: &mut Story, request: u64, number: i16) {
    if let Change::Leased { attempt, .. } = &mut story.row(request, is_leased).change {
        *attempt = number;
    }
}

/// When the queue was paused, and which.
fn paused(story: &mut Story) -> (i64, String) {
    match &story.line(|event| matches!(event, Event::Paused { .. })).event {
        Event::Paused { queue, database_at } => (*database_at, queue.clone()),
        _ => unreachable!(),
    }
}

/// A claim of another batch of that queue.
fn claim_at(story: &mut Story, at: i64, queue: &str, worker: i64) {
    let batch = story.batch(SLOW);
    let (lease, queue) = (1000 + at, queue.to_owned());
    story.change(Change::Leased { lease, worker, batch, mask: 1 << 40, attempt: 1, max_attempts: 3, queue });
    story.evidence.audit.last_mut().expect("just made").at = at;
}
