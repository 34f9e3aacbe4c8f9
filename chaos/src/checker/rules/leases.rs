//! No two leases of a task overlap, and a task that has ended is leased no more.
//!
//! Leases of one task exclude each other by the locks on the rows that the task moves through, so the order of the audit rows is the order of the changes. A claim
//! that a crash of Postgres has undone is not among them; what was done under it shows as a start without a lease.
//! (That leases begin once, only shrink, and end while they live is looked at in [`steps`](crate::checker::steps).)

use crate::checker::{
    life::Life,
    steps::What,
    verdict::{Report, Rule, Subject},
};

pub(super) fn check(life: &Life<'_>, report: &mut Report) {
    let mut live: Vec<(i64, i64, i64)> = Vec::new();
    let mut ended_at = None;
    for step in life.steps {
        match step.what {
            What::Leased { lease, worker, .. } => {
                if let Some((other, holder, since)) = live.first() {
                    report.violation(Rule::Leases, Subject::Task(life.id), || {
                        format!(
                            "is leased to worker {worker} by audit row {} (lease {lease}), while worker {holder} holds it since row {since} (lease {other})",
                            step.seq
                        )
                    });
                }
                if let Some(ended_at) = ended_at {
                    report.violation(Rule::Leases, Subject::Task(life.id), || {
                        format!(
                            "is leased by audit row {} (lease {lease}), and had ended with row {ended_at}",
                            step.seq
                        )
                    });
                }
                live.push((lease, worker, step.seq));
            }
            What::Left { lease, worker, .. } => live.retain(|(id, holder, _)| (*id, *holder) != (lease, worker)),
            What::Outcome { .. } => ended_at = Some(step.seq),
            What::Touched | What::Scheduled { .. } => {}
        }
    }
}
