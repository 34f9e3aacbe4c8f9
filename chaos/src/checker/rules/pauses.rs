//! Nothing of a queue is claimed between an acknowledged pause and the next resume, but what was being claimed when the pause was committed.
//!
//! A claim looks for pauses in the snapshot that it begins with. One that began before the commit may end after it: one for each worker, since
//! a worker has one claim under way, and within the time that the statement may run. (A second would need a worker that lost its connection with a
//! claim under way, and began and ended another between that and the pause; it is not allowed, since nothing that a claim waits for lasts so long.)

use crate::checker::{
    facts::{Change, Facts, Pause},
    verdict::{Report, Rule, Subject},
};

/// Longest claim, in microseconds: `statement_timeout` of its connection.
const STATEMENT: i64 = 15_000_000;

/// A claim of a paused queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// Which pause.
    pause: usize,
    worker: i64,
    transaction: i64,
    at: i64,
    seq: i64,
}

pub(super) fn check(facts: &Facts, report: &mut Report) {
    if facts.pauses.is_empty() {
        return;
    }
    let mut claims: Vec<Claim> = facts
        .rows
        .iter()
        .filter_map(|row| {
            let Change::Leased { worker, queue, .. } = row.change else { return None };
            let pause = paused(&facts.pauses, queue, row.at)?;
            Some(Claim { pause, worker, transaction: row.transaction, at: row.at, seq: row.seq })
        })
        .collect();
    claims.sort_unstable();
    claims.dedup_by_key(|claim| (claim.pause, claim.worker, claim.transaction));
    for of_worker in claims.chunk_by(|one, other| (one.pause, one.worker) == (other.pause, other.worker)) {
        let in_time = |claim: &&Claim| claim.at <= facts.pauses[claim.pause].database_at + STATEMENT;
        let under_way = of_worker.iter().filter(in_time).min_by_key(|claim| claim.seq);
        for claim in of_worker.iter().filter(|claim| Some(*claim) != under_way) {
            let pause = &facts.pauses[claim.pause];
            report.violation(Rule::Pauses, Subject::Queue(facts.queues[pause.queue as usize].clone()), || {
                format!(
                    "is paused since {} and claimed from at {} by worker {} (audit row {}, transaction {})",
                    pause.database_at, claim.at, claim.worker, claim.seq, claim.transaction
                )
            });
        }
    }
}

/// The pause of a queue that holds at a time: the last word before it, if that was no resume.
fn paused(pauses: &[Pause], queue: u32, at: i64) -> Option<usize> {
    let after = pauses.partition_point(|pause| (pause.queue, pause.database_at) < (queue, at));
    let last = after.checked_sub(1)?;
    (pauses[last].queue == queue && !pauses[last].is_resume).then_some(last)
}
