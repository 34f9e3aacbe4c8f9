//! What clients were told, against what is stored.

use chaos::{
    audit::{Key, Task},
    checker::Rule,
    history::{Event, Status},
};
use uuid::Uuid;

use super::{
    Forgery,
    story::{CANCELLED, DONE, FAILED, KEYED, REFUSED, RESCUED, RETRIED, Story, UNKNOWN},
};

pub(super) const FORGERIES: &[Forgery] = &[
    (Rule::Evidence, "a request is submitted twice", |story| {
        let line = story.line(|event| matches!(event, Event::Submit(_))).clone();
        story.say(line.event);
    }),
    (Rule::Evidence, "a task is stored twice under one id", |story| {
        let task = story.task(DONE).clone();
        story.evidence.tasks.push(task);
    }),
    (Rule::Evidence, "a run of a handler ends twice", |story| {
        let line = story.line(|event| matches!(event, Event::End { .. })).clone();
        story.say(line.event);
    }),
    (Rule::Evidence, "a run of a handler ends that never started", |story| {
        let execution = story.execution(DONE);
        story.drop_line(|event| matches!(event, Event::Start { execution: started, .. } if *started == execution));
    }),
    (Rule::Answers, "two ids of an answer are swapped", |story| {
        let is_it = |event: &Event| matches!(event, Event::Acknowledged { request: DONE, .. });
        let Event::Acknowledged { ids, .. } = &mut story.line(is_it).event else { unreachable!() };
        ids.swap(0, 1);
    }),
    (Rule::Answers, "an answer has an id too few", |story| {
        let is_it = |event: &Event| matches!(event, Event::Acknowledged { request: DONE, .. });
        let Event::Acknowledged { ids, .. } = &mut story.line(is_it).event else { unreachable!() };
        ids.pop();
    }),
    (Rule::Answers, "an answer comes to what was never sent", |story| {
        let ids = vec![story.id(DONE, 0)];
        story.say(Event::Acknowledged { request: 99, ids });
    }),
    (Rule::Answers, "a payload is not the one that was sent", |story| {
        story.task(FAILED).name = Some(FAILED << 16 | 1);
    }),
    (Rule::Outcomes, "an acknowledged task is lost", |story| {
        let id = story.id(DONE, 1);
        story.evidence.tasks.retain(|task| task.id != id);
    }),
    (Rule::Outcomes, "an id is the answer to two requests", |story| {
        let ids = vec![story.id(RESCUED, 0)];
        story.say(Event::Acknowledged { request: RETRIED, ids });
    }),
    (Rule::Unacknowledged, "a request without key is stored twice", |story| again(story, UNKNOWN)),
    (Rule::Unacknowledged, "a refused request is stored", |story| {
        let task = Task { name: Some(REFUSED << 16), ..another(story, DONE) };
        story.evidence.tasks.push(task);
    }),
    (Rule::Unacknowledged, "a request is refused and acknowledged", |story| {
        story.say(Event::Refused { request: DONE })
    }),
    (Rule::Unacknowledged, "a task is stored that nobody sent", |story| {
        let task = Task { name: Some(77 << 16), ..another(story, DONE) };
        story.evidence.tasks.push(task);
    }),
    (Rule::Unacknowledged, "a request has a task more than were sent", |story| {
        let task = Task { name: Some(DONE << 16 | 3), ..another(story, DONE) };
        story.evidence.tasks.push(task);
    }),
    (Rule::Keys, "a key stores its tasks twice", |story| again(story, KEYED)),
    (Rule::Keys, "a key is answered with two sets of ids", |story| {
        let ids = vec![story.id(DONE, 0), story.id(DONE, 1)];
        story.say(Event::Acknowledged { request: KEYED, ids });
    }),
    (Rule::Keys, "the row of a key names other tasks than its answer", |story| story.evidence.keys[0].tasks.reverse()),
    (Rule::Keys, "the row of a key is lost", |story| story.evidence.keys.clear()),
    (Rule::Keys, "a key has two rows", |story| {
        let key = story.evidence.keys[0].clone();
        story.evidence.keys.push(key);
    }),
    (Rule::Keys, "a key stands for what is not stored", |story| {
        story.evidence.keys.push(Key { key: "other".to_owned(), tasks: vec![Uuid::from_u128(7)] });
    }),
    (Rule::Cancelled, "what was cancelled is done", |story| {
        story.task(CANCELLED).outcome.as_mut().expect("it has ended").status = Status::Done;
    }),
    (Rule::Cancelled, "what is done was said to be cancelled", |story| {
        let task = story.id(DONE, 0);
        story.say(Event::Cancelled { task });
    }),
    (Rule::Cancelled, "what failed was said to be cancelled", |story| {
        let task = story.id(FAILED, 0);
        story.say(Event::Cancelled { task });
    }),
    (Rule::Cancelled, "what was cancelled is lost", |story| {
        let id = story.id(CANCELLED, 0);
        story.evidence.tasks.retain(|task| task.id != id);
    }),
];

/// Another task like the first one of a request, open in one place.
fn another(story: &mut Story, request: u64) -> Task {
    Task { id: Uuid::from_u128(1 << 90), outcome: None, places: 1, ..story.task(request).clone() }
}

fn again(story: &mut Story, request: u64) {
    let task = another(story, request);
    story.evidence.tasks.push(task);
}
