//! A handler is started for a task that the lease holds, with its attempt and payload, and once per lease and attempt.
//!
//! Allowed, and only after a crash of Postgres: a claim is committed without waiting for the disk, so a crash may undo one that a worker was told of
//! already. Then its tasks start under a lease that the audit does not know, or that has since been made anew under the same number for
//! others; and the task may be claimed again under the very same number. So each crash allows one more start of the same lease, and a lease
//! that is not known may be started under once there was a crash, or shortly before one. (What such an execution returns must not become a
//! result: that is the rule of results.)

use crate::checker::{
    facts::{Facts, Start},
    life::Life,
    steps::What,
    verdict::{Report, Rule, Subject},
};

/// Time until a commit that nobody waits for is on the disk, in microseconds. (`wal_writer_delay` is 200 ms; three of them, says its manual, and a disk may be busy.)
const UNSAFE: u64 = 10_000_000;

pub(super) fn check(life: &Life<'_>, facts: &Facts, report: &mut Report) {
    for start in life.starts {
        one(life, start, facts, report);
    }
    for same in life.starts.chunk_by(|one, other| (one.attempt, one.lease) == (other.attempt, other.lease)) {
        let last = same.last().map_or(0, |start| start.at);
        let crashes = facts.crashes.iter().filter(|crash| **crash <= last).count();
        if same.len() > 1 + crashes {
            violation(life, report, || {
                let executions: Vec<_> = same.iter().map(|start| (start.execution, start.at)).collect();
                format!(
                    "starts {} times under lease {} and attempt {}, after {crashes} crashes of Postgres: {executions:?}",
                    same.len(),
                    same[0].lease,
                    same[0].attempt
                )
            });
        }
    }
}

fn one(life: &Life<'_>, start: &Start, facts: &Facts, report: &mut Report) {
    if let Some(name) = life.stored.map(|task| task.name)
        && name != Some(start.name)
    {
        violation(life, report, || format!("has name {name:?}, and starts as another: {start:?}"));
    }
    let is_held = life.steps.iter().any(|step| match step.what {
        What::Leased { lease, attempt, .. } => (lease, attempt) == (start.lease, start.attempt),
        _ => false,
    });
    if is_held {
        return;
    }
    report.counts.lost_claims += 1;
    if facts.crashes.first().is_none_or(|crash| *crash > start.at.saturating_add(UNSAFE)) {
        violation(life, report, || {
            format!("starts under a lease that never held it, and no crash has undone one: {start:?}")
        });
    }
}

fn violation(life: &Life<'_>, report: &mut Report, what: impl FnOnce() -> String) {
    report.violation(Rule::Starts, Subject::Task(life.id), what);
}
