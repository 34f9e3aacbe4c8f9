//! The first lease of a task is its attempt 1, each later one the same attempt or the next, never beyond the limit that was asked for.
//!
//! The same again is legal after a lease that was given back without being burnt: the task did not start, or its worker was told to stop, or its
//! handler wants to be called again. The audit does not tell these from a burnt one, and neither do the handlers' lines (what a handler returned
//! while its worker was stopping is not counted against the task), so a number may repeat without end. A task cancelled while it waited
//! has burnt its last lease's attempt or not.

use crate::checker::{
    life::Life,
    steps::What,
    verdict::{Report, Rule, Subject},
};

pub(super) fn check(life: &Life<'_>, report: &mut Report) {
    limit(life, report);
    let mut last = 0;
    for step in life.steps {
        match step.what {
            What::Leased { lease, attempt, .. } => {
                let is_next = attempt == last + 1 || (attempt == last && last > 0);
                if !is_next {
                    violation(life, report, || {
                        format!("has attempt {attempt} after {last}, by audit row {} (lease {lease})", step.seq)
                    });
                }
                last = attempt;
            }
            What::Outcome { worker: None, attempt, .. } if attempt != last && attempt + 1 != last => {
                violation(life, report, || {
                    format!(
                        "is cancelled with {attempt} attempts burnt after attempt {last}, by audit row {}",
                        step.seq
                    )
                });
            }
            _ => {}
        }
    }
}

fn limit(life: &Life<'_>, report: &mut Report) {
    let stored = life.stored.map(|task| task.max_attempts);
    let asked = life.request.map(|request| request.max_attempts);
    if let (Some(stored), Some(asked)) = (stored, asked)
        && stored != asked
    {
        violation(life, report, || format!("may have {stored} attempts, and {asked} were asked for"));
    }
    let Some(limit) = stored.or(asked) else { return };
    for step in life.steps {
        let is_beyond = match step.what {
            What::Leased { attempt, max_attempts, .. } => attempt > limit || max_attempts != limit,
            What::Outcome { attempt, .. } => attempt > limit,
            _ => false,
        };
        if is_beyond {
            violation(life, report, || format!("may have {limit} attempts; audit row {}: {:?}", step.seq, step.what));
        }
    }
    for start in life.starts.iter().filter(|start| !(1..=limit).contains(&start.attempt)) {
        violation(life, report, || format!("may have {limit} attempts, and starts one more: {start:?}"));
    }
}

fn violation(life: &Life<'_>, report: &mut Report, what: impl FnOnce() -> String) {
    report.violation(Rule::Attempts, Subject::Task(life.id), what);
}
