//! From facts to reasons.

use chrono::{DateTime, Utc};

use super::{Ended, Facts, LaneWorkers, Lease, Place};
use crate::{rescue::CRASH_LIMIT, task::Status};

/// Why a task is where it is. Of those that can hold together an earlier one decides.
#[derive(Clone, Debug)]
pub enum Reason {
    /// Its queue is paused.
    QueuePaused {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// No live worker takes its kind from its queue.
    NoWorker(LaneWorkers),
    /// Others of its lane come first.
    Behind {
        /// So many.
        tasks: u64,
        /// Or more.
        at_least: bool,
        /// Who takes them.
        workers: LaneWorkers,
    },
    /// It is the next of its lane, and its workers have no free slot, or are about to take it.
    Next(LaneWorkers),
    /// It is not due, as its submitter asked, or its handler for another call.
    Scheduled {
        /// When it is.
        run_at: DateTime<Utc>,
    },
    /// Its last attempt failed, the next one is not due.
    Retry {
        /// When it is.
        run_at: DateTime<Utc>,
        /// Which one failed.
        attempt: i16,
        /// Why, if known.
        error: Option<String>,
    },
    /// A live worker has it.
    Running(Lease),
    /// A worker has it and is late with its heartbeat.
    WorkerSilent(Lease),
    /// A worker had it that is dead; others are to take it over.
    WorkerLost(Lease),
    /// It runs, and its cancellation was asked for.
    CancelRequested,
    /// Workers died while they held it; it is not set aside yet.
    Crashed {
        /// So many.
        crashes: i16,
        /// After so many it is set aside.
        limit: i16,
    },
    /// It has a result.
    Done,
    /// Its last attempt failed.
    AttemptsUsedUp,
    /// Its handler said that no other attempt can help.
    FailedForGood,
    /// Its worker died at the last attempt.
    DiedAtLastAttempt,
    /// So many workers died holding it that it is not tried again.
    SetAside {
        /// How many.
        crashes: i16,
    },
    /// It was cancelled before a worker took it.
    CancelledWaiting,
    /// It was cancelled while a worker had it.
    CancelledRunning,
    /// It stands nowhere, which is a bug.
    Missing,
}

/// The reasons, the decisive one first; never empty.
pub fn reasons(facts: &Facts) -> Vec<Reason> {
    let mut reasons = match &facts.place {
        Place::Queued { .. } | Place::Scheduled { .. } => of_waiting(facts),
        Place::Processing(lease) => of_processing(facts, lease),
        Place::Ended { status, worker, .. } => return vec![of_ended(facts, *status, *worker)],
        Place::Missing => return vec![Reason::Missing],
    };
    if facts.crashes > 0 {
        reasons.push(Reason::Crashed { crashes: facts.crashes, limit: CRASH_LIMIT });
    }
    reasons
}

fn of_waiting(facts: &Facts) -> Vec<Reason> {
    let workers = facts.workers.clone().unwrap_or_default();
    let is_taken = workers.taking > 0;
    let mut reasons = Vec::new();
    if let Place::Scheduled { run_at } = facts.place {
        reasons.push(match facts.attempts.last() {
            Some(last) if facts.attempt > 0 => {
                Reason::Retry { run_at, attempt: last.number, error: last.error.clone() }
            }
            _ => Reason::Scheduled { run_at },
        });
    }
    if let Some(since) = facts.paused_at {
        reasons.push(Reason::QueuePaused { since });
    }
    if !is_taken {
        reasons.push(Reason::NoWorker(workers.clone()));
    }
    if let Place::Queued { ahead, .. } = facts.place {
        if ahead.tasks > 0 {
            reasons.push(Reason::Behind { tasks: ahead.tasks, at_least: ahead.at_least, workers });
        } else if reasons.is_empty() {
            reasons.push(Reason::Next(workers));
        }
    }
    reasons
}

fn of_processing(facts: &Facts, lease: &Lease) -> Vec<Reason> {
    let is_over = lease.valid_until.is_none_or(|until| until < facts.now);
    // Workers beat several times in the time that a lease lasts, so half of it without one means that some were missed.
    let is_late = match (lease.heartbeat_at, lease.valid_until) {
        (Some(beat), Some(until)) => facts.now - beat > (until - beat) / 2,
        _ => true,
    };
    let mut reasons = vec![match lease.clone() {
        lease if is_over || lease.dead_at.is_some() => Reason::WorkerLost(lease),
        lease if is_late => Reason::WorkerSilent(lease),
        lease => Reason::Running(lease),
    }];
    if lease.cancel_requested {
        reasons.push(Reason::CancelRequested);
    }
    reasons
}

fn of_ended(facts: &Facts, status: Status, worker: Option<i64>) -> Reason {
    let has_crashed = facts.attempts.last().is_some_and(|last| last.ended == Ended::Crashed);
    match status {
        Status::Done => Reason::Done,
        Status::Cancelled if worker.is_some() => Reason::CancelledRunning,
        Status::Cancelled => Reason::CancelledWaiting,
        _ if has_crashed && facts.crashes >= CRASH_LIMIT => Reason::SetAside { crashes: facts.crashes },
        _ if has_crashed => Reason::DiedAtLastAttempt,
        _ if facts.attempt >= facts.max_attempts => Reason::AttemptsUsedUp,
        _ => Reason::FailedForGood,
    }
}
