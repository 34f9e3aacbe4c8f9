//! Proves from what a run leaves behind that nothing was lost, doubled, or done by who had no right to.
//!
//! It knows what is promised, and the meaning of an id's bits; it shares no code with the queue. Each promise is a rule in a file of [`rules`]. A rule is the
//! strictest that is always true, also when everything is killed and cut off at any moment: a run without fault never breaks it, and
//! what breaks it is a bug. Where a rule has to allow something, its file says what and why.
//!
//! Three clocks are never compared with each other: the machine's (of lines), the database's (of audit rows), and the order in which the database made its changes
//! (`seq`), which alone decides between two changes of a task.

mod evidence;
mod facts;
mod life;
mod reader;
mod rules;
mod steps;
mod verdict;

use std::path::Path;

use facts::Facts;
use verdict::Report;

pub use evidence::Evidence;
pub use reader::Error;
pub use verdict::{Counts, Rule, SHOWN, Subject, Verdict, Violation};

/// Checks what is in memory.
pub fn check(evidence: Evidence) -> Verdict {
    let mut facts = Facts::default();
    evidence.lines.into_iter().for_each(|line| facts.line(line));
    evidence.audit.into_iter().for_each(|row| facts.row(row));
    evidence.tasks.into_iter().for_each(|task| facts.task(task));
    evidence.keys.into_iter().for_each(|key| facts.key(key));
    judge(facts, 0)
}

/// Checks the files of a directory: every `*.history.jsonl`, `audit.jsonl`, `tasks.jsonl`, `keys.jsonl`. A million tasks take well under a gigabyte.
pub fn check_directory(directory: &Path) -> Result<Verdict, Error> {
    let mut facts = Facts::default();
    let torn = reader::read(directory, &mut facts)?;
    Ok(judge(facts, torn))
}

fn judge(mut facts: Facts, torn: u64) -> Verdict {
    facts.sort();
    let mut report = Report::default();
    report.counts.torn = torn;
    rules::check(&facts, &mut report);
    report.verdict()
}
