//! Nothing is claimed before its time by the database's clock: the first time as asked for by the submit, later ones as told by a retry or
//! by the handler. And no handler starts it sooner after it was sent than it was to be delayed.
//!
//! The time of a task is taken from the clock before its row is stamped, in the same statement, so it may lie before `created_at` plus the delay by as long as
//! that statement may run. The claim itself is held to the time exactly. What a handler sees is measured by this machine's clock from the line before the
//! request was sent, which lies before the database's reading; the database's clock may be slewed meanwhile.

use crate::checker::{
    facts::Request,
    life::Life,
    steps::What,
    verdict::{Report, Rule, Subject},
};

/// Longest statement, in microseconds: `statement_timeout` of the connections that store.
const STATEMENT: i64 = 15_000_000;
/// A clock is slewed by no more than a thousandth. (adjtime: 500 ppm.)
const SLEW: u64 = 1000;

pub(super) fn check(life: &Life<'_>, report: &mut Report) {
    let mut due: Option<(i64, i64)> = None;
    for step in life.steps {
        match step.what {
            What::Scheduled { run_at } => {
                if due.is_none() {
                    first(life, step.seq, run_at, report);
                }
                due = Some((run_at, step.seq));
            }
            What::Leased { lease, .. } => {
                let (run_at, since) = due.unwrap_or((i64::MIN, 0));
                if step.at < run_at {
                    violation(life, report, || {
                        format!(
                            "is claimed at {} by audit row {} (lease {lease}), and due at {run_at} by row {since}",
                            step.at, step.seq
                        )
                    });
                }
                if due.is_none() && life.request.is_some_and(|request| request.delay_ms > 0) {
                    violation(life, report, || {
                        format!(
                            "is claimed by audit row {} (lease {lease}) without having waited for its time",
                            step.seq
                        )
                    });
                }
            }
            _ => {}
        }
    }
    let Some(request) = life.request.filter(|request| request.delay_ms > 0) else { return };
    for start in life.starts {
        if start.at < earliest(request) {
            violation(life, report, || {
                format!(
                    "starts at {}, and was sent at {} with a delay of {} ms",
                    start.at, request.at, request.delay_ms
                )
            });
        }
    }
}

/// The first time that a task was given.
fn first(life: &Life<'_>, seq: i64, run_at: i64, report: &mut Report) {
    let (Some(task), Some(request)) = (life.stored, life.request) else { return };
    let delay = i64::try_from(request.delay_ms * 1000).unwrap_or(i64::MAX);
    if request.delay_ms > 0 && run_at < task.created_at.saturating_add(delay).saturating_sub(STATEMENT) {
        violation(life, report, || {
            format!(
                "is due at {run_at} by audit row {seq}, and was stored at {} with a delay of {} ms",
                task.created_at, request.delay_ms
            )
        });
    }
}

/// By this machine's clock.
fn earliest(request: &Request) -> u64 {
    let delay = request.delay_ms.saturating_mul(1000);
    request.at.saturating_add(delay - delay / SLEW)
}

fn violation(life: &Life<'_>, report: &mut Report, what: impl FnOnce() -> String) {
    report.violation(Rule::Schedule, Subject::Task(life.id), what);
}
