//! GET /tasks/{id}/explain

use std::iter;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use chrono::{DateTime, Utc};
use queue::{
    Status, TaskId,
    explain::{self, Ended, Facts, LaneWorkers, LiveWorker, Reason},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    path::{TaskPath, unknown},
    reply,
    task::StatusName,
};
use crate::{access::Caller, problem::Problem, query::Query, sentence::sentence, state::AppState};

/// Why a task is where it is, and what it went through.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// The task.
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    /// Where it stands.
    #[schema(value_type = StatusName)]
    status: Status,
    /// Where it waits, or waited.
    queue: String,
    /// Which handler runs it.
    kind: String,
    /// Claims burnt so far.
    attempt: i16,
    /// How many it may burn.
    max_attempts: i16,
    /// When it was stored.
    created_at: DateTime<Utc>,
    /// The database's clock when it was asked.
    as_of: DateTime<Utc>,
    /// The reason that decides.
    #[serde(flatten)]
    decisive: Because,
    /// What else keeps it, or will.
    also: Vec<Because>,
    /// Its attempts, oldest first; of many the newest fifty.
    attempts: Vec<Attempt>,
    /// Whether there were more.
    attempts_cut: bool,
}

/// A reason, for machines and for people.
#[derive(Serialize, ToSchema)]
#[schema(as = ReasonInWords)]
pub(crate) struct Because {
    #[serde(flatten)]
    why: Why,
    /// The same in a sentence.
    sentence: String,
}

/// Which reason, with what belongs to it.
#[derive(Serialize, ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[schema(as = Reason)]
pub(crate) enum Why {
    /// Queued: its queue is paused.
    QueuePaused {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// No live worker takes its kind from its queue.
    NoWorker {
        /// Those that live.
        workers: Workers,
    },
    /// Queued behind others of its queue and kind.
    Behind {
        /// So many tasks come first.
        tasks: u64,
        /// Or more: counting stopped.
        at_least: bool,
        /// Who takes them.
        workers: Workers,
    },
    /// Queued, and the next of its queue and kind: the workers that take it are busy, or about to take it.
    Next {
        /// Who takes it.
        workers: Workers,
    },
    /// Scheduled: not due, as its submitter asked, or its handler for another call.
    Scheduled {
        /// When it is due.
        run_at: DateTime<Utc>,
    },
    /// Scheduled: an attempt failed, and the next one is not due.
    Retry {
        /// When it is due.
        run_at: DateTime<Utc>,
        /// Which attempt failed.
        failed_attempt: i16,
        /// Why.
        #[schema(required)]
        error: Option<String>,
    },
    /// A live worker has it.
    Running {
        /// Its hold on the task.
        lease: Lease,
    },
    /// A worker has it that has missed heartbeats.
    WorkerSilent {
        /// Its hold on the task.
        lease: Lease,
    },
    /// A worker had it that is dead; another one is to take it over.
    WorkerLost {
        /// Its hold on the task.
        lease: Lease,
    },
    /// Its cancellation was asked for while it runs.
    CancelRequested,
    /// Workers died holding it.
    Crashed {
        /// So many.
        crashes: i16,
        /// After so many it is set aside.
        limit: i16,
    },
    /// Final: it has a result.
    Done {
        /// When it ended.
        since: DateTime<Utc>,
    },
    /// Final: its last attempt failed.
    AttemptsUsedUp {
        /// When it ended.
        since: DateTime<Utc>,
        /// Why it failed.
        #[schema(required)]
        error: Option<String>,
    },
    /// Final: its handler said that no other attempt can help.
    FailedForGood {
        /// When it ended.
        since: DateTime<Utc>,
        /// Why it failed.
        #[schema(required)]
        error: Option<String>,
    },
    /// Final: its worker died at the last attempt.
    DiedAtLastAttempt {
        /// When it was given up.
        since: DateTime<Utc>,
    },
    /// Final: too many workers died holding it.
    SetAside {
        /// When it was given up.
        since: DateTime<Utc>,
        /// How many.
        crashes: i16,
    },
    /// Final: cancelled before a worker took it.
    CancelledWaiting {
        /// When.
        since: DateTime<Utc>,
    },
    /// Final: cancelled while a worker had it.
    CancelledRunning {
        /// When it ended.
        since: DateTime<Utc>,
    },
    /// It stands nowhere: a bug, please report it.
    Missing,
}

/// The live workers, seen from the task's queue and kind.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainWorkers)]
pub(crate) struct Workers {
    /// All that live.
    alive: u64,
    /// Those of them that take the kind from the queue.
    taking: u64,
    /// How many tasks these run at once.
    slots: u64,
    /// At most ten, those that take it first, then those of the queue.
    listed: Vec<Listed>,
}

/// A live worker.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainWorker)]
pub(crate) struct Listed {
    /// New at every start.
    id: i64,
    /// The pod's or host's name.
    name: String,
    /// Its release.
    version: String,
    /// Queues it takes from; the first fifty.
    queues: Vec<String>,
    /// Kinds it has handlers for; the first fifty.
    kinds: Vec<String>,
    /// Whether it takes the kind from the queue.
    takes: bool,
}

/// A worker's hold on a task.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lease {
    /// The worker.
    worker: i64,
    /// The pod's or host's name; null: unknown.
    #[schema(required)]
    worker_name: Option<String>,
    /// The worker's release; null: unknown.
    #[schema(required)]
    version: Option<String>,
    /// Since when it has the task. Workers claim a little ahead, so the handler may have started later.
    since: DateTime<Utc>,
    /// The worker's last sign of life.
    #[schema(required)]
    heartbeat_at: Option<DateTime<Utc>>,
    /// Until when the lease holds if nothing more is heard of the worker. Each heartbeat renews it.
    #[schema(required)]
    valid_until: Option<DateTime<Utc>>,
    /// When another worker found it dead.
    #[schema(required)]
    dead_at: Option<DateTime<Utc>>,
    /// Whether the task's cancellation was asked for.
    cancel_requested: bool,
    /// Longest run of the attempt, in milliseconds.
    timeout_ms: i32,
}

/// A claim of a task that burnt an attempt.
#[derive(Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// Which: from 1 on, and anew after a retry by hand.
    attempt: i16,
    /// The worker that made it.
    worker: i64,
    /// The pod's or host's name; null: unknown.
    #[schema(required)]
    worker_name: Option<String>,
    /// The worker's release; null: unknown.
    #[schema(required)]
    version: Option<String>,
    /// When it was claimed; the handler may have started later. Null: less than a second before it was done. (Or release 0.9.0 recorded it.)
    #[schema(required)]
    started_at: Option<DateTime<Utc>>,
    /// When it ended; null: it runs.
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    outcome: AttemptOutcome,
    /// Why it failed, the first thousand characters.
    #[schema(required)]
    error: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AttemptOutcome {
    /// It has not.
    Running,
    /// With a result.
    Done,
    /// The handler failed, or ran out of time.
    Failed,
    /// Its worker died.
    Crashed,
    /// By request.
    Cancelled,
}

/// Explain a task
///
/// Why it is where it is, in a word and in a sentence, and the history of its attempts. Read in one snapshot, and bounded: it takes
/// milliseconds at any backlog.
#[utoipa::path(
    get,
    path = "/tasks/{id}/explain",
    tag = "tasks",
    operation_id = "explainTask",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses((
        status = 200,
        description = "The explanation",
        body = Explanation,
        examples(
            ("behind" = (summary = "It waits its turn", value = json!({
                "id": "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40", "status": "queued", "queue": "default", "kind": "echo", "attempt": 0, "max_attempts": 20,
                "created_at": "2026-11-23T08:30:00Z", "as_of": "2026-11-23T08:30:05Z",
                "reason": "behind", "tasks": 12, "at_least": false,
                "workers": {"alive": 1, "taking": 1, "slots": 10, "listed": [{"id": 7, "name": "worker-0", "version": "1.0.0", "queues": ["default"], "kinds": ["echo"], "takes": true}]},
                "sentence": "It is queued behind 12 tasks of kind echo in queue default; 1 worker with 10 slots takes them.",
                "also": [], "attempts": [], "attempts_cut": false
            }))),
            ("retry" = (summary = "It failed and is tried again", value = json!({
                "id": "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40", "status": "scheduled", "queue": "mail", "kind": "email", "attempt": 1, "max_attempts": 20,
                "created_at": "2026-11-23T08:30:00Z", "as_of": "2026-11-23T08:30:05Z",
                "reason": "retry", "run_at": "2026-11-23T08:30:17Z", "failed_attempt": 1, "error": "421 try again later",
                "sentence": "Attempt 1 of 20 failed (421 try again later); the next one is due at 2026-11-23T08:30:17Z.",
                "also": [],
                "attempts": [{"attempt": 1, "worker": 7, "worker_name": "worker-0", "version": "1.0.0", "started_at": "2026-11-23T08:30:00.1Z",
                    "ended_at": "2026-11-23T08:30:01.4Z", "outcome": "failed", "error": "421 try again later"}],
                "attempts_cut": false
            }))),
        )
    ))
)]
pub(crate) async fn explain_task(
    State(state): State<AppState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let facts = state.store.read_as_one(move |connection| Box::pin(explain::explain(connection, id))).await?;
    let facts = facts.filter(|facts| caller.reaches(&facts.queue)).ok_or_else(|| unknown(id))?;
    let mut response = reply::json(StatusCode::OK, &Explanation::from(facts).for_caller(&caller));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl From<Facts> for Explanation {
    fn from(facts: Facts) -> Self {
        let mut reasons = explain::reasons(&facts).into_iter().map(|reason| Because::new(reason, &facts));
        let decisive = reasons.next().expect("there is always a reason");
        let also = reasons.collect();
        Self {
            id: facts.id,
            status: facts.place.status(),
            queue: facts.queue,
            kind: facts.kind,
            attempt: facts.attempt,
            max_attempts: facts.max_attempts,
            created_at: facts.created_at,
            as_of: facts.now,
            decisive,
            also,
            attempts: facts.attempts.into_iter().map(Attempt::from).collect(),
            attempts_cut: facts.attempts_cut,
        }
    }
}

impl Explanation {
    /// Without the names of queues that the caller does not reach.
    fn for_caller(mut self, caller: &Caller) -> Self {
        if caller.is_limited() {
            for because in iter::once(&mut self.decisive).chain(&mut self.also) {
                if let Why::NoWorker { workers } | Why::Behind { workers, .. } | Why::Next { workers } =
                    &mut because.why
                {
                    workers.listed.iter_mut().for_each(|worker| worker.queues.retain(|queue| caller.reaches(queue)));
                }
            }
        }
        self
    }
}

impl Because {
    fn new(reason: Reason, facts: &Facts) -> Self {
        let sentence = sentence(&reason, facts);
        let (since, error) = match &facts.place {
            explain::Place::Ended { at, error, .. } => (*at, error.clone()),
            _ => (facts.now, None),
        };
        let why = match reason {
            Reason::QueuePaused { since } => Why::QueuePaused { since },
            Reason::NoWorker(workers) => Why::NoWorker { workers: workers.into() },
            Reason::Behind { tasks, at_least, workers } => Why::Behind { tasks, at_least, workers: workers.into() },
            Reason::Next(workers) => Why::Next { workers: workers.into() },
            Reason::Scheduled { run_at } => Why::Scheduled { run_at },
            Reason::Retry { run_at, attempt, error } => Why::Retry { run_at, failed_attempt: attempt, error },
            Reason::Running(lease) => Why::Running { lease: Lease::new(lease, facts) },
            Reason::WorkerSilent(lease) => Why::WorkerSilent { lease: Lease::new(lease, facts) },
            Reason::WorkerLost(lease) => Why::WorkerLost { lease: Lease::new(lease, facts) },
            Reason::CancelRequested => Why::CancelRequested,
            Reason::Crashed { crashes, limit } => Why::Crashed { crashes, limit },
            Reason::Done => Why::Done { since },
            Reason::AttemptsUsedUp => Why::AttemptsUsedUp { since, error },
            Reason::FailedForGood => Why::FailedForGood { since, error },
            Reason::DiedAtLastAttempt => Why::DiedAtLastAttempt { since },
            Reason::SetAside { crashes } => Why::SetAside { since, crashes },
            Reason::CancelledWaiting => Why::CancelledWaiting { since },
            Reason::CancelledRunning => Why::CancelledRunning { since },
            Reason::Missing => Why::Missing,
        };
        Self { why, sentence }
    }
}

impl Lease {
    fn new(lease: explain::Lease, facts: &Facts) -> Self {
        let (worker_name, version) = lease.name.map(|known| (known.name, known.version)).unzip();
        Self {
            worker: lease.worker,
            worker_name,
            version,
            since: lease.since,
            heartbeat_at: lease.heartbeat_at,
            valid_until: lease.valid_until,
            dead_at: lease.dead_at,
            cancel_requested: lease.cancel_requested,
            timeout_ms: facts.timeout_ms,
        }
    }
}

impl From<LaneWorkers> for Workers {
    fn from(workers: LaneWorkers) -> Self {
        let LaneWorkers { alive, taking, slots, listed } = workers;
        Self { alive, taking, slots, listed: listed.into_iter().map(Listed::from).collect() }
    }
}

impl From<LiveWorker> for Listed {
    fn from(worker: LiveWorker) -> Self {
        let LiveWorker { id, name, version, queues, kinds, takes } = worker;
        Self { id, name, version, queues, kinds, takes }
    }
}

impl From<explain::Attempt> for Attempt {
    fn from(attempt: explain::Attempt) -> Self {
        let (worker_name, version) = attempt.name.map(|known| (known.name, known.version)).unzip();
        Self {
            attempt: attempt.number,
            worker: attempt.worker,
            worker_name,
            version,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: match attempt.ended {
                Ended::Not => AttemptOutcome::Running,
                Ended::Done => AttemptOutcome::Done,
                Ended::Failed => AttemptOutcome::Failed,
                Ended::Crashed => AttemptOutcome::Crashed,
                Ended::Cancelled => AttemptOutcome::Cancelled,
            },
            error: attempt.error,
        }
    }
}
