//! A task is stored once at most, whatever became of its request; one that was refused is not stored; and nothing is stored that nobody sent.
//!
//! A request without a key is sent once, so it may store its tasks once even if its answer was lost. With a key this is the rule of keys,
//! whatever was answered. A refusal says that nothing was stored, and is true for good: what is stored later, by a statement that went on after
//! its request was given up, breaks it.

use uuid::Uuid;

use crate::checker::{
    facts::Facts,
    verdict::{Report, Rule, Subject},
};

pub(super) fn check(facts: &Facts, report: &mut Report) {
    for same in facts.names.chunk_by(|(one, _), (other, _)| one == other) {
        stored(same, facts, report);
    }
    for request in &facts.refused {
        let answer = facts.answers.binary_search_by_key(request, |answer| answer.request);
        if let Ok(at) = answer {
            report.violation(Rule::Unacknowledged, Subject::Request(*request), || {
                format!("was refused, and acknowledged as {:?}", facts.answers[at].ids)
            });
        }
    }
}

/// All tasks of one name.
fn stored(same: &[(u64, Uuid)], facts: &Facts, report: &mut Report) {
    let (name, id) = same[0];
    let (number, index) = (name >> 16, name & 0xffff);
    let Some(request) = facts.request(number).filter(|request| index < u64::from(request.tasks)) else {
        report.violation(Rule::Unacknowledged, Subject::Task(id), || {
            format!("is stored with name {name}, task {index} of request {number}, which nobody sent")
        });
        return;
    };
    if facts.refused.binary_search(&number).is_ok() {
        report.violation(Rule::Unacknowledged, Subject::Request(number), || {
            format!("was refused, and its task {index} is stored as {id}")
        });
    }
    if same.len() > 1 {
        let rule = if request.key.is_some() { Rule::Keys } else { Rule::Unacknowledged };
        report.violation(rule, Subject::Request(number), || {
            let ids: Vec<_> = same.iter().map(|(_, id)| id).collect();
            format!("has its task {index} stored {} times: {ids:?} (key: {:?})", ids.len(), request.key)
        });
    }
}
