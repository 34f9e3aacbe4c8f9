//! The evidence agrees with itself: what is to be there once is there once, and what ends has begun.
//!
//! Rules trust these; where one is broken, it is the harness that is wrong, or the database's primary keys.

use uuid::Uuid;

use crate::checker::{
    facts::Facts,
    verdict::{Report, Rule, Subject},
};

pub(super) fn check(facts: &Facts, report: &mut Report) {
    for pair in facts.requests.windows(2).filter(|pair| pair[0].number == pair[1].number) {
        let subject = Subject::Request(pair[0].number);
        report.violation(Rule::Evidence, subject, || {
            format!("has two lines that submit it, at {} and {}", pair[0].at, pair[1].at)
        });
    }
    for pair in facts.tasks.windows(2).filter(|pair| pair[0].id == pair[1].id) {
        report.violation(Rule::Evidence, Subject::Task(pair[0].id), || "is stored twice".to_owned());
    }
    executions(facts, report);
}

fn executions(facts: &Facts, report: &mut Report) {
    let mut started: Vec<Uuid> = facts.starts.iter().map(|start| start.execution).collect();
    started.sort_unstable();
    for pair in started.windows(2).filter(|pair| pair[0] == pair[1]) {
        report.violation(Rule::Evidence, Subject::Execution(pair[0]), || "starts twice".to_owned());
    }
    for pair in facts.ends.windows(2).filter(|pair| pair[0].execution == pair[1].execution) {
        let subject = Subject::Execution(pair[0].execution);
        report.violation(Rule::Evidence, subject, || format!("ends twice, at {} and {}", pair[0].at, pair[1].at));
    }
    for end in facts.ends.iter().filter(|end| started.binary_search(&end.execution).is_err()) {
        let subject = Subject::Execution(end.execution);
        report.violation(Rule::Evidence, subject, || format!("ends at {} and has not started", end.at));
    }
}
