//! A task of which a client was told that it is cancelled ends as cancelled.
//!
//! Told that it *is* cancelled, not that its cancellation was asked for: a task that runs may finish first, and the answer then says so.

use crate::{
    checker::{
        life::Life,
        verdict::{Report, Rule, Subject},
    },
    history::Status,
};

pub(super) fn check(life: &Life<'_>, report: &mut Report) {
    let outcome = life.stored.and_then(|task| task.outcome);
    if life.is_cancelled && outcome.is_none_or(|outcome| outcome.status != Status::Cancelled) {
        report.violation(Rule::Cancelled, Subject::Task(life.id), || {
            format!("was said to be cancelled and stands as {outcome:?} at the end")
        });
    }
}
