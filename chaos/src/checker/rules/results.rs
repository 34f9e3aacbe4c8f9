//! The result of a done task is that of an execution that started under the lease which ended the task, with its attempt, and returned a
//! result; and whatever a client read of a final state is how the task stands at the end.
//!
//! Only the handler of kind `probe` names its executions. A failed or cancelled task has no result, so it names none. Executions whose lease was
//! lost may have returned, too: their results must not show anywhere. The time of the outcome is the database's, so it is not compared with the time of the
//! execution; the client's read of it is, both being of this machine.

use uuid::Uuid;

use crate::{
    audit::Ended,
    checker::{
        facts::{Facts, Start},
        life::Life,
        steps::Step,
        verdict::{Report, Rule, Subject},
    },
    history::{Ending, Status},
};

pub(super) fn check(life: &Life<'_>, facts: &Facts, report: &mut Report) {
    let Some(ended) = life.stored.and_then(|task| task.outcome) else {
        for read in life.reads {
            violation(life, report, || format!("was read as {:?} at {} and has no outcome", read.status, read.at));
        }
        return;
    };
    for read in life.reads {
        if (read.status, read.attempt, read.execution) != (ended.status, ended.attempt, ended.execution) {
            violation(life, report, || format!("was read as {read:?} and stands as {ended:?} at the end"));
        }
    }
    match (ended.status, ended.execution) {
        (Status::Done, Some(execution)) if life.is_probe() => produced(life, ended, execution, facts, report),
        (Status::Done, None) if life.is_probe() => {
            violation(life, report, || format!("is done and names no execution: {ended:?}"));
        }
        (Status::Failed | Status::Cancelled, Some(_)) => {
            violation(life, report, || format!("has no result and names an execution: {ended:?}"));
        }
        _ => {}
    }
}

fn produced(life: &Life<'_>, ended: Ended, execution: Uuid, facts: &Facts, report: &mut Report) {
    let Some(start) = life.starts.iter().find(|start| start.execution == execution) else {
        violation(life, report, || format!("names execution {execution}, which no handler started for it"));
        return;
    };
    if start.attempt != ended.attempt {
        violation(life, report, || format!("names {start:?}, of another attempt than {}", ended.attempt));
    }
    let lease = life.outcome().and_then(|outcome: &Step| life.source(outcome));
    if lease.is_some_and(|lease| lease != start.lease) {
        violation(life, report, || format!("was ended by lease {lease:?} and names {start:?}, of another lease"));
    }
    returned(life, start, facts, report);
}

fn returned(life: &Life<'_>, start: &Start, facts: &Facts, report: &mut Report) {
    let end = facts.end(start.execution);
    let Some(end) = end.filter(|end| end.ending == Ending::Done && end.at >= start.at) else {
        violation(life, report, || format!("names {start:?}, which did not return a result: {end:?}"));
        return;
    };
    for read in life.reads.iter().filter(|read| read.at < end.at) {
        violation(life, report, || format!("was read at {}, before its execution returned: {end:?}", read.at));
    }
}

fn violation(life: &Life<'_>, report: &mut Report, what: impl FnOnce() -> String) {
    report.violation(Rule::Results, Subject::Task(life.id), what);
}
