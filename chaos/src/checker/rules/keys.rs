//! An idempotency key stands for one set of tasks: every answer to it names the same ids, and so does the row that the database keeps.
//!
//! That its tasks are stored once is looked at with those of requests without a key. Keys are kept for a day, so at the end of a run each that was
//! acknowledged is still there.

use crate::{
    audit::Key,
    checker::{
        facts::{Answer, Facts},
        verdict::{Report, Rule, Subject},
    },
};

pub(super) fn check(facts: &Facts, report: &mut Report) {
    for pair in facts.keys.windows(2).filter(|pair| pair[0].key == pair[1].key) {
        report.violation(Rule::Keys, Subject::Key(pair[0].key.clone()), || {
            format!("stands for {:?} and for {:?}", pair[0].tasks, pair[1].tasks)
        });
    }
    for answers in facts.answers.chunk_by(|one, other| one.request == other.request) {
        answered(answers, facts, report);
    }
    for key in &facts.keys {
        kept(key, facts, report);
    }
}

/// All answers to one request. One without a key gets one answer.
fn answered(answers: &[Answer], facts: &Facts, report: &mut Report) {
    let first = &answers[0];
    for other in answers.iter().filter(|answer| answer.ids != first.ids) {
        report.violation(Rule::Keys, Subject::Request(first.request), || {
            format!("was answered {:?}, and {:?}", first.ids, other.ids)
        });
    }
    let Some(key) = facts.request(first.request).and_then(|request| request.key.as_deref()) else { return };
    let kept = facts.keys.binary_search_by(|kept| kept.key.as_str().cmp(key)).ok().map(|at| &facts.keys[at]);
    if kept.is_none_or(|kept| *kept.tasks != *first.ids) {
        report.violation(Rule::Keys, Subject::Key(key.to_owned()), || {
            let kept = kept.map(|kept| &kept.tasks);
            format!("was answered {:?} for request {}, but the database keeps {kept:?}", first.ids, first.request)
        });
    }
}

/// Row and tasks are stored together.
fn kept(key: &Key, facts: &Facts, report: &mut Report) {
    for id in key.tasks.iter().filter(|id| facts.stored(**id).is_none()) {
        report.violation(Rule::Keys, Subject::Key(key.key.clone()), || format!("stands for {id}, which is not stored"));
    }
}
