//! Every acknowledged task has exactly one outcome at the end, written once and never touched. Every task, acknowledged or not, is in one
//! place: it has its outcome, or stands in one row of ready, leases and scheduled.
//!
//! Nothing is allowed here: an acknowledgement comes after the commit, and the harness waits until all that it knows has ended.

use crate::{
    audit::{Ended, Task},
    checker::{
        life::Life,
        steps::{Step, What},
        verdict::{Report, Rule, Subject},
    },
    history::Status,
};

pub(super) fn check(life: &Life<'_>, report: &mut Report) {
    for pair in life.acknowledged.windows(2).filter(|pair| pair[0].1 != pair[1].1) {
        violation(life, report, || format!("was the answer to request {} and to request {}", pair[0].1, pair[1].1));
    }
    let Some(task) = life.stored else {
        violation(life, report, || {
            let requests: Vec<_> = life.acknowledged.iter().map(|(_, request)| request).collect();
            format!(
                "is not stored, but acknowledged to requests {requests:?}, with {} changes, {} reads and {} starts",
                life.steps.len(),
                life.reads.len(),
                life.starts.len()
            )
        });
        return;
    };
    placed(life, task, report);
    written(life, task, report);
}

fn placed(life: &Life<'_>, task: &Task, report: &mut Report) {
    let wanted = u8::from(task.outcome.is_none());
    if task.places != wanted {
        violation(life, report, || format!("stands in {} places, with outcome {:?}", task.places, task.outcome));
    }
    if let (None, Some((_, request))) = (task.outcome, life.acknowledged.first()) {
        violation(life, report, || format!("was acknowledged to request {request} and has no outcome"));
    }
    match task.outcome.map(|outcome| outcome.status) {
        Some(Status::Done) => report.counts.done += 1,
        Some(Status::Failed) => report.counts.failed += 1,
        Some(Status::Cancelled) => report.counts.cancelled += 1,
        None => {}
    }
}

fn written(life: &Life<'_>, task: &Task, report: &mut Report) {
    let outcomes = || life.steps.iter().filter_map(|step| Some((step.seq, ended(step)?)));
    let first = outcomes().next();
    if first.map(|(_, outcome)| outcome) != task.outcome || outcomes().count() > 1 {
        violation(life, report, || {
            let written: Vec<_> = outcomes().collect();
            format!("has outcome {:?} at the end; audit rows wrote {written:?}", task.outcome)
        });
    }
    for step in life.steps.iter().filter(|step| matches!(step.what, What::Touched)) {
        violation(life, report, || {
            format!("had its outcome changed or removed by audit row {} of transaction {}", step.seq, step.transaction)
        });
    }
}

fn ended(step: &Step) -> Option<Ended> {
    match step.what {
        What::Outcome { status, worker, attempt, execution } => Some(Ended { status, worker, attempt, execution }),
        _ => None,
    }
}

fn violation(life: &Life<'_>, report: &mut Report, what: impl FnOnce() -> String) {
    report.violation(Rule::Outcomes, Subject::Task(life.id), what);
}
