//! An outcome is written by the transaction that takes the task out of a live lease of its worker, with the attempt of that lease. One without a
//! worker is a cancellation of a task that waited, in no lease. And a worker that was found dead takes no lease any more.
//!
//! What rescue writes (a task out of attempts, set aside after crashes, or cancelled) is in the name of the dead worker, in the transaction that
//! ends the lease, with its attempt; so it needs no exception.
//!
//! Allowed: a worker's own outcome after it was marked as dead and before its lease was given back, two commits of the same rescue, or of two
//! if the first rescuer died in between. The lease is live, nobody else can have the task, and the rescue that waits for its lock finds the
//! bit cleared. Such outcomes are counted ([`Counts::marked`](crate::checker::Counts)) where they can be told from rescue's own: rescue writes no `done`.

use crate::{
    checker::{
        facts::Facts,
        life::Life,
        steps::{Step, What},
        verdict::{Report, Rule, Subject},
    },
    history::Status,
};

pub(super) fn check(life: &Life<'_>, facts: &Facts, report: &mut Report) {
    for step in life.steps {
        match step.what {
            What::Leased { lease, worker, .. } => {
                if let Some(dead) = facts.deaths.get(&worker).filter(|dead| **dead < step.seq) {
                    report.violation(Rule::Fence, Subject::Task(life.id), || {
                        format!(
                            "is leased by audit row {} (lease {lease}) to worker {worker}, found dead by row {dead}",
                            step.seq
                        )
                    });
                }
            }
            What::Outcome { status, worker: Some(worker), .. } => {
                by_worker(life, step, (status, worker), facts, report)
            }
            What::Outcome { status, worker: None, .. } => waiting(life, step, status, report),
            What::Left { .. } | What::Touched | What::Scheduled { .. } => {}
        }
    }
}

fn by_worker(life: &Life<'_>, step: &Step, (status, worker): (Status, i64), facts: &Facts, report: &mut Report) {
    if life.source(step).is_none() {
        report.violation(Rule::Fence, Subject::Task(life.id), || {
            format!(
                "ends by audit row {} of transaction {} ({:?}), which takes it out of no live lease of worker {worker} with that attempt",
                step.seq, step.transaction, step.what
            )
        });
    }
    if status == Status::Done && facts.deaths.get(&worker).is_some_and(|dead| *dead < step.seq) {
        report.counts.marked += 1;
    }
}

fn waiting(life: &Life<'_>, step: &Step, status: Status, report: &mut Report) {
    if status != Status::Cancelled {
        report.violation(Rule::Fence, Subject::Task(life.id), || {
            format!("ends as {status:?} by audit row {}, by no worker", step.seq)
        });
    }
    let (mut began, mut left) = (0, 0);
    for before in life.steps.iter().filter(|before| before.seq < step.seq) {
        match before.what {
            What::Leased { .. } => began += 1,
            What::Left { .. } => left += 1,
            _ => {}
        }
    }
    if began > left {
        report.violation(Rule::Fence, Subject::Task(life.id), || {
            format!("ends as {status:?} by audit row {}, by no worker, while it is leased", step.seq)
        });
    }
}
