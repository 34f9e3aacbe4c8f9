//! A file per promise: what always holds, why, and what it has to allow.

mod answers;
mod attempts;
mod cancelled;
mod evidence;
mod fence;
mod keys;
mod leases;
mod outcomes;
mod pauses;
mod results;
mod schedule;
mod starts;
mod unacknowledged;

use super::{facts::Facts, life, verdict::Report};

/// Applies every rule: those of requests, queues and the whole, then those of tasks, one after the other.
pub(super) fn check(facts: &Facts, report: &mut Report) {
    count(facts, report);
    evidence::check(facts, report);
    answers::check(facts, report);
    unacknowledged::check(facts, report);
    keys::check(facts, report);
    pauses::check(facts, report);
    life::walk(facts, report, |life, report| {
        outcomes::check(life, report);
        leases::check(life, report);
        fence::check(life, facts, report);
        results::check(life, facts, report);
        cancelled::check(life, report);
        schedule::check(life, report);
        attempts::check(life, report);
        starts::check(life, facts, report);
    });
}

fn count(facts: &Facts, report: &mut Report) {
    let counts = &mut report.counts;
    counts.requests = facts.requests.len() as u64;
    counts.acknowledged = facts.answers.chunk_by(|one, other| one.request == other.request).count() as u64;
    counts.refused = facts.refused.len() as u64;
    counts.tasks = facts.tasks.len() as u64;
    counts.starts = facts.starts.len() as u64;
    counts.reads = facts.reads.len() as u64;
    counts.dead = facts.deaths.len() as u64;
    counts.crashes = facts.crashes.len() as u64;
    counts.pauses = facts.pauses.iter().filter(|pause| !pause.is_resume).count() as u64;
}
