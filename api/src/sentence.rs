//! Reasons in words.

use chrono::{DateTime, Utc};
use queue::explain::{Facts, LaneWorkers, Lease, Place, Reason};

/// Longest error quoted in a sentence, in characters.
const QUOTE_LIMIT: usize = 200;

/// One sentence that says why a task is where it is; readable alone.
pub(crate) fn sentence(reason: &Reason, facts: &Facts) -> String {
    let Facts { queue, kind, attempt, max_attempts, .. } = facts;
    let ended = Ended::of(facts);
    match reason {
        Reason::QueuePaused { since } => {
            format!("Queue {queue} is paused since {}: nothing of it starts before it is resumed.", time(since))
        }
        Reason::NoWorker(workers) if workers.alive == 0 => {
            format!("No worker is alive; kind {kind} in queue {queue} needs one that takes it.")
        }
        Reason::NoWorker(workers) => format!(
            "No live worker takes kind {kind} from queue {queue} ({} alive).",
            count(workers.alive, "worker is", "workers are")
        ),
        Reason::Behind { tasks, at_least, workers } => format!(
            "It is queued behind {}{} of kind {kind} in queue {queue}; {}.",
            if *at_least { "at least " } else { "" },
            count(*tasks, "task", "tasks"),
            takers(workers, "them")
        ),
        Reason::Next(workers) => {
            format!(
                "It is the next of kind {kind} in queue {queue} and starts when a slot is free; {}.",
                takers(workers, "it")
            )
        }
        Reason::Scheduled { run_at } => format!(
            "It is not due before {}: its submitter asked for that time, or its handler to be called again then.",
            time(run_at)
        ),
        Reason::Retry { run_at, attempt, error } => format!(
            "Attempt {attempt} of {max_attempts} failed{}; the next one is due at {}.",
            error.as_deref().map(|error| format!(" ({})", quote(error))).unwrap_or_default(),
            time(run_at)
        ),
        Reason::Running(lease) => format!(
            "{} has it since {} (attempt {attempt} of {max_attempts}); its lease is valid until {} and is renewed by each heartbeat.",
            holder(lease),
            time(&lease.since),
            optional_time(lease.valid_until.as_ref()),
        ),
        Reason::WorkerSilent(lease) => format!(
            "{} has it since {} and has missed heartbeats: if none comes before {}, another worker takes the task over.",
            holder(lease),
            time(&lease.since),
            optional_time(lease.valid_until.as_ref()),
        ),
        Reason::WorkerLost(lease) => format!(
            "{}, which had it since {}, is dead (last heard of {}): any live worker gives the task back within seconds.",
            holder(lease),
            time(&lease.since),
            optional_time(lease.heartbeat_at.as_ref()),
        ),
        Reason::CancelRequested => "Its cancellation was asked for; its worker is to stop it.".to_owned(),
        Reason::Crashed { crashes, limit } => format!(
            "{} died while holding it; after {limit} it is set aside as failed.",
            count(crashes.unsigned_abs().into(), "worker", "workers")
        ),
        Reason::Done => format!("It was done at {}, at attempt {attempt} of {max_attempts}{}.", ended.at, ended.by),
        Reason::AttemptsUsedUp => format!(
            "It failed at {}, at attempt {attempt} of {max_attempts}, its last{}: {}.",
            ended.at, ended.by, ended.error
        ),
        Reason::FailedForGood => format!(
            "It failed for good at {}, at attempt {attempt} of {max_attempts}{}: {}.",
            ended.at, ended.by, ended.error
        ),
        Reason::DiedAtLastAttempt => format!(
            "It failed at {}: its worker died while it held attempt {attempt} of {max_attempts}, its last.",
            ended.at
        ),
        Reason::SetAside { crashes } => format!(
            "It was set aside as failed at {}: {crashes} workers died while they held it, and it may be what kills them.",
            ended.at
        ),
        Reason::CancelledWaiting => format!("It was cancelled at {}, while it waited.", ended.at),
        Reason::CancelledRunning => {
            format!("It was cancelled at {}, while it was running{}.", ended.at, ended.on)
        }
        Reason::Missing => "It stands nowhere, which is a bug of Taskrow: please report it.".to_owned(),
    }
}

/// What is known of a task's end, in words.
#[derive(Default)]
struct Ended {
    at: String,
    by: String,
    on: String,
    error: String,
}

impl Ended {
    fn of(facts: &Facts) -> Self {
        let Place::Ended { at, worker, error, .. } = &facts.place else {
            return Self::default();
        };
        let name = facts.attempts.last().and_then(|last| last.name.as_ref());
        let worker = worker.map(|id| match name {
            Some(known) => format!("worker {id} ({})", known.name),
            None => format!("worker {id}"),
        });
        let after = |word: &str| worker.as_ref().map(|worker| format!("{word} {worker}")).unwrap_or_default();
        let error = error.as_deref().map_or_else(|| "none".to_owned(), quote);
        Self { at: time(at), by: after(", by"), on: after(" on"), error }
    }
}

fn holder(lease: &Lease) -> String {
    match &lease.name {
        Some(known) => format!("Worker {} ({})", lease.worker, known.name),
        None => format!("Worker {}", lease.worker),
    }
}

fn takers(workers: &LaneWorkers, what: &str) -> String {
    let takes = if workers.taking == 1 { "takes" } else { "take" };
    match workers.taking {
        0 => format!("no live worker takes {what}"),
        taking => format!(
            "{} with {} {takes} {what}",
            count(taking, "worker", "workers"),
            count(workers.slots, "slot", "slots")
        ),
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// An error on one line.
fn quote(error: &str) -> String {
    let line: String =
        error.chars().take(QUOTE_LIMIT).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if error.chars().nth(QUOTE_LIMIT).is_some() { format!("{line}..") } else { line.trim_end_matches('.').to_owned() }
}

fn time(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn optional_time(at: Option<&DateTime<Utc>>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), time)
}
