//! An answer names the tasks of its request, in the order sent: the nth id is that of the task whose payload is the nth.
//!
//! Otherwise a client would read another's result. Every answer is checked, also the second one to the same request. Whether the tasks are
//! still there is the rule of outcomes.

use crate::checker::{
    facts::{Answer, Facts},
    verdict::{Report, Rule, Subject},
};

pub(super) fn check(facts: &Facts, report: &mut Report) {
    for answer in &facts.answers {
        one(answer, facts, report);
    }
}

fn one(answer: &Answer, facts: &Facts, report: &mut Report) {
    let subject = Subject::Request(answer.request);
    let Some(request) = facts.request(answer.request) else {
        report.violation(Rule::Answers, subject, || "was answered and never sent".to_owned());
        return;
    };
    if answer.ids.len() != usize::from(request.tasks) {
        report.violation(Rule::Answers, subject, || {
            format!("has {} tasks and was answered with {} ids", request.tasks, answer.ids.len())
        });
        return;
    }
    for (index, id) in answer.ids.iter().enumerate() {
        let Some(task) = facts.stored(*id) else { continue };
        let name = answer.request << 16 | index as u64;
        if task.name != Some(name) {
            report.violation(Rule::Answers, Subject::Request(answer.request), || {
                format!(
                    "was answered {id} for its task {index}, but the payload there is of name {:?}, not {name}",
                    task.name
                )
            });
        }
    }
}
