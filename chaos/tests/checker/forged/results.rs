//! What was run, and what came of it.

use chaos::{
    audit::Change,
    checker::Rule,
    history::{Ending, Event, Status},
};
use uuid::Uuid;

use super::{
    Forgery,
    story::{CANCELLED, DONE, FAILED, RESCUED, RETRIED, Story},
};

pub(super) const FORGERIES: &[Forgery] = &[
    (Rule::Outcomes, "an acknowledged task has no outcome", |story| {
        let task = story.task(DONE);
        (task.outcome, task.places) = (None, 1);
    }),
    (Rule::Outcomes, "a task that has ended stands in a queue", |story| story.task(DONE).places = 1),
    (Rule::Outcomes, "an open task stands nowhere", |story| {
        story.task(DONE).outcome = None;
    }),
    (Rule::Outcomes, "an outcome is written twice", |story| {
        let row = story.outcome(DONE).clone();
        story.change(row.change);
    }),
    (Rule::Outcomes, "an outcome is replaced by another one", |story| {
        let task = story.id(DONE, 0);
        story.change(Change::OutcomeTouched { task });
    }),
    (Rule::Outcomes, "an outcome was never written", |story| {
        let id = story.id(DONE, 0);
        story.drop_row(DONE, |change| matches!(change, Change::Outcome { task, .. } if *task == id));
    }),
    (Rule::Outcomes, "an outcome is not the one that was written", |story| {
        story.task(FAILED).outcome.as_mut().expect("it has ended").status = Status::Cancelled;
    }),
    (Rule::Results, "a done task names no execution", |story| name(story, DONE, None)),
    (Rule::Results, "a result is of an execution that nobody started", |story| {
        name(story, DONE, Some(Uuid::from_u128(3)));
    }),
    (Rule::Results, "a result is another task's", |story| {
        let other = story.execution(RESCUED);
        name(story, DONE, Some(other));
    }),
    (Rule::Results, "a result is of a lease that was lost", |story| {
        let lost = story.line(|event| matches!(event, Event::Start { name, .. } if *name == RESCUED << 16)).clone();
        let Event::Start { execution, .. } = lost.event else { unreachable!() };
        story.say(Event::End { execution, ending: Ending::Done });
        name(story, RESCUED, Some(execution));
    }),
    (Rule::Results, "a result is of an attempt that failed", |story| {
        let first = story.line(|event| matches!(event, Event::Start { name, .. } if *name == RETRIED << 16)).clone();
        let Event::Start { execution, .. } = first.event else { unreachable!() };
        name(story, RETRIED, Some(execution));
    }),
    (Rule::Results, "a result is of another lease", |story| {
        if let Event::Start { lease, .. } = &mut story.start(DONE).event {
            *lease += 1;
        }
        if let Event::Start { lease, .. } = &mut story.line(of(DONE)).event {
            *lease += 1;
        }
    }),
    (Rule::Results, "an execution never returned", |story| {
        let execution = story.execution(DONE);
        story.drop_line(|event| matches!(event, Event::End { execution: ended, .. } if *ended == execution));
    }),
    (Rule::Results, "an execution returned an error", |story| {
        let execution = story.execution(DONE);
        let is_it = |event: &Event| matches!(event, Event::End { execution: ended, .. } if *ended == execution);
        if let Event::End { ending, .. } = &mut story.line(is_it).event {
            *ending = Ending::Retry;
        }
    }),
    (Rule::Results, "a result is read before it was returned", |story| {
        let id = story.id(DONE, 0);
        story.line(|event| matches!(event, Event::Read { task, .. } if *task == id)).at = 1;
    }),
    (Rule::Results, "a failed task names an execution", |story| name(story, FAILED, Some(Uuid::from_u128(3)))),
    (Rule::Results, "what was read changes its state", |story| {
        read(story, CANCELLED, |status, _, _| *status = Status::Failed);
    }),
    (Rule::Results, "what was read changes its attempt", |story| read(story, DONE, |_, attempt, _| *attempt += 1)),
    (Rule::Results, "what was read changes its result", |story| {
        read(story, RESCUED, |_, _, execution| *execution = Some(Uuid::from_u128(3)));
    }),
    (Rule::Results, "what was read has no outcome any more", |story| story.task(DONE).outcome = None),
    (Rule::Starts, "a task starts twice under one lease", |story| {
        let mut event = story.start(DONE).event.clone();
        if let Event::Start { execution, .. } = &mut event {
            *execution = Uuid::from_u128(3);
        }
        story.say(event);
    }),
    (Rule::Starts, "a task starts under a lease that nobody was given", |story| start(story, |lease, _| *lease += 500)),
    (Rule::Starts, "a task starts with another attempt than its lease", |story| {
        start(story, |_, attempt| *attempt = 2)
    }),
    (Rule::Starts, "a task starts under a lost claim long before the crash", |story| {
        start(story, |lease, _| *lease += 500);
        story.say(Event::Crash);
        story.evidence.lines.last_mut().expect("just said").at += 60_000_000;
    }),
    (Rule::Starts, "a task starts with another's payload", |story| {
        if let Event::Start { name, .. } = &mut story.start(DONE).event {
            *name += 1;
        }
    }),
];

fn of(request: u64) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Start { name, .. } if name >> 16 == request)
}

/// Another start of a task under something else, after it was over.
fn start(story: &mut Story, change: impl Fn(&mut i64, &mut i16)) {
    let mut event = story.start(DONE).event.clone();
    if let Event::Start { execution, lease, attempt, .. } = &mut event {
        *execution = Uuid::from_u128(3);
        change(lease, attempt);
    }
    story.say(event);
}

/// Everywhere: in the outcome as written, at the end, and in what was read.
fn name(story: &mut Story, request: u64, named: Option<Uuid>) {
    let id = story.id(request, 0);
    if let Change::Outcome { execution, .. } = &mut story.outcome(request).change {
        *execution = named;
    }
    story.task(request).outcome.as_mut().expect("it has ended").execution = named;
    read(story, request, |_, _, execution| *execution = named);
    assert_eq!(story.id(request, 0), id);
}

fn read(story: &mut Story, request: u64, change: impl Fn(&mut Status, &mut i16, &mut Option<Uuid>)) {
    let id = story.id(request, 0);
    let line = story.line(|event| matches!(event, Event::Read { task, .. } if *task == id));
    if let Event::Read { status, attempt, execution, .. } = &mut line.event {
        change(status, attempt, execution);
    }
}
