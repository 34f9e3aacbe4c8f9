//! Where a task stands, with all that matters to it there.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    OptionalExtension, QueryResult, Queryable,
    sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{
    attempts::{self, Attempt},
    lane::{self, Ahead, LaneWorkers, Position},
};
use crate::{
    id::TaskId,
    mask::Mask,
    statement::statement,
    task::Status,
    worker_names::{self, WorkerName},
};

type StandRow = (
    Timestamptz,
    Text,
    Text,
    SmallInt,
    Integer,
    Timestamptz,
    Nullable<SmallInt>,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<SmallInt>,
    SmallInt,
    Nullable<Timestamptz>,
    Nullable<SmallInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<SmallInt>,
    Nullable<BigInt>,
    Bool,
    Nullable<Timestamptz>,
);

statement! {
    /// `place`: 0 final or nowhere, 1 ready, 2 scheduled, 3 leased. Every LATERAL looks up one row by an index, whatever the statistics say.
    struct Stand -> StandRow { id: Uuid => SqlUuid, batch: Uuid => SqlUuid, bit: i64 => BigInt }
    "SELECT clock_timestamp(), r.queue, r.kind, r.max_attempts, r.timeout_ms, r.created_at,
            o.status, o.error, coalesce(o.finished_at, h.since), o.claimed_at, coalesce(o.attempt, h.attempt),
            coalesce(h.place, 0::smallint), h.run_at, h.rank, h.seq, h.mask, h.crashes, coalesce(o.worker, h.worker),
            coalesce(h.cancelled, false), (SELECT q.paused_at FROM taskrow.queues q WHERE q.name = r.queue)
     FROM taskrow.records r
     LEFT JOIN LATERAL (SELECT x.* FROM taskrow.outcomes x WHERE x.task_id = $1 LIMIT 1) o ON true
     LEFT JOIN LATERAL (
         SELECT 1::smallint AS place, x.ready_at AS since, x.attempt, NULL::timestamptz AS run_at, x.rank, x.seq, x.mask,
                x.crashes, NULL::bigint AS worker, false AS cancelled
         FROM taskrow.ready x WHERE x.batch = $2 AND x.mask & $3 <> 0
         UNION ALL
         SELECT 2::smallint, x.scheduled_at, x.attempt, x.run_at, x.rank, x.seq, x.mask, x.crashes, NULL, false
         FROM taskrow.scheduled x WHERE x.batch = $2 AND x.mask & $3 <> 0
         UNION ALL
         SELECT 3::smallint, x.claimed_at, x.attempt, NULL, x.rank, x.seq, x.mask, x.crashes, x.worker, x.cancelled & $3 <> 0
         FROM taskrow.leases x WHERE x.batch = $2 AND x.mask & $3 <> 0
         LIMIT 1) h ON true
     WHERE r.id = $1"
}

statement! {
    struct Holder -> (Timestamptz, Integer, Nullable<Timestamptz>) { worker: i64 => BigInt }
    "SELECT heartbeat_at, lease_ttl_ms, dead_at FROM taskrow.workers WHERE id = $1"
}

/// All there is to know about a task but its payload and result.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The task.
    pub id: TaskId,
    /// The database's clock when this was read.
    pub now: DateTime<Utc>,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// Claims burnt so far.
    pub attempt: i16,
    /// The most it may burn.
    pub max_attempts: i16,
    /// Longest run of one attempt, in milliseconds.
    pub timeout_ms: i32,
    /// How many workers have died holding it, since it was submitted or retried by hand.
    pub crashes: i16,
    /// Since when its queue is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Where it stands.
    pub place: Place,
    /// Who could take it; none: it does not wait.
    pub workers: Option<LaneWorkers>,
    /// Its attempts, oldest first; the newest [`ATTEMPTS_LIMIT`](super::ATTEMPTS_LIMIT) of them.
    pub attempts: Vec<Attempt>,
    /// Whether there were more.
    pub attempts_cut: bool,
}

/// Where a task stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// It can be claimed.
    Queued {
        /// Since when.
        since: DateTime<Utc>,
        /// What is before it in its lane.
        ahead: Ahead,
    },
    /// Its time has not come.
    Scheduled {
        /// When it comes.
        run_at: DateTime<Utc>,
    },
    /// A worker has it.
    Processing(Lease),
    /// It has ended.
    Ended {
        /// How.
        status: Status,
        /// When.
        at: DateTime<Utc>,
        /// When the attempt that ended it was claimed, if that is kept.
        started_at: Option<DateTime<Utc>>,
        /// The worker that held it then.
        worker: Option<i64>,
        /// Why it failed.
        error: Option<String>,
    },
    /// Nowhere, which would be a bug: an accepted task stands somewhere.
    Missing,
}

/// A worker's hold on a task.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The worker.
    pub worker: i64,
    /// Its name and release, if known.
    pub name: Option<WorkerName>,
    /// When it claimed the task. The handler may have started later: a worker claims a little ahead.
    pub since: DateTime<Utc>,
    /// Its last sign of life; none: it is not listed any more.
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// Until when the lease holds unless the worker is heard of again.
    pub valid_until: Option<DateTime<Utc>>,
    /// When another worker found it dead.
    pub dead_at: Option<DateTime<Utc>>,
    /// Whether the task's cancellation was asked for.
    pub cancel_requested: bool,
}

impl Place {
    /// The state as users know it. (What is missing has not ended.)
    pub fn status(&self) -> Status {
        match self {
            Self::Queued { .. } | Self::Missing => Status::Queued,
            Self::Scheduled { .. } => Status::Scheduled,
            Self::Processing(_) => Status::Processing,
            Self::Ended { status, .. } => *status,
        }
    }
}

#[derive(Queryable)]
struct Row {
    now: DateTime<Utc>,
    queue: String,
    kind: String,
    max_attempts: i16,
    timeout_ms: i32,
    created_at: DateTime<Utc>,
    status: Option<i16>,
    error: Option<String>,
    since: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    attempt: Option<i16>,
    place: i16,
    run_at: Option<DateTime<Utc>>,
    rank: Option<i16>,
    seq: Option<i64>,
    mask: Option<i64>,
    crashes: Option<i16>,
    worker: Option<i64>,
    cancel_requested: bool,
    paused_at: Option<DateTime<Utc>>,
}

/// See [`explain`](super::explain).
pub(super) async fn collect(connection: &mut AsyncPgConnection, id: TaskId) -> QueryResult<Option<Facts>> {
    let stand = Stand { id: id.uuid(), batch: id.batch().uuid(), bit: id.bit().to_sql() };
    let Some(row) = stand.get_result::<Row>(connection).await.optional()? else { return Ok(None) };
    let place = place(connection, id, &row).await?;
    let waits = matches!(place, Place::Queued { .. } | Place::Scheduled { .. });
    let workers = if waits { Some(lane::workers(connection, &row.queue, &row.kind).await?) } else { None };
    let (mut attempts, attempts_cut) = attempts::past(connection, id).await?;
    attempts::add_present(&mut attempts, &place, row.attempt.unwrap_or(0));
    let of_last = attempts.last().and_then(|last| last.crashes);
    let crashes = row.crashes.or(of_last.filter(|_| matches!(place, Place::Ended { .. }))).unwrap_or(0);
    let mut facts = Facts {
        id,
        now: row.now,
        queue: row.queue,
        kind: row.kind,
        created_at: row.created_at,
        attempt: row.attempt.unwrap_or(0),
        max_attempts: row.max_attempts,
        timeout_ms: row.timeout_ms,
        crashes,
        paused_at: row.paused_at,
        place,
        workers,
        attempts,
        attempts_cut,
    };
    name_workers(connection, &mut facts).await?;
    Ok(Some(facts))
}

async fn place(connection: &mut AsyncPgConnection, id: TaskId, row: &Row) -> QueryResult<Place> {
    let Some(since) = row.since else { return Ok(Place::Missing) };
    Ok(match (row.status, row.place, row.run_at) {
        (Some(code), ..) => Place::Ended {
            status: Status::of_outcome(code),
            at: since,
            started_at: row.started_at,
            worker: row.worker,
            error: row.error.clone(),
        },
        (None, 1, _) => {
            let position = Position {
                queue: &row.queue,
                kind: &row.kind,
                rank: row.rank.unwrap_or(0),
                seq: row.seq.unwrap_or(0),
                attempt: row.attempt.unwrap_or(0),
                mask: Mask::from_sql(row.mask.unwrap_or(0)),
                bit: id.bit(),
            };
            Place::Queued { since, ahead: lane::ahead(connection, position).await? }
        }
        (None, 2, Some(run_at)) => Place::Scheduled { run_at },
        (None, ..) => {
            let worker = row.worker.unwrap_or(0);
            type Health = (DateTime<Utc>, i32, Option<DateTime<Utc>>);
            let holder: Option<Health> = Holder { worker }.get_result(connection).await.optional()?;
            Place::Processing(Lease {
                worker,
                name: None,
                since,
                heartbeat_at: holder.map(|(heartbeat_at, ..)| heartbeat_at),
                valid_until: holder.map(|(at, ttl_ms, _)| at + TimeDelta::milliseconds(ttl_ms.into())),
                dead_at: holder.and_then(|(.., dead_at)| dead_at),
                cancel_requested: row.cancel_requested,
            })
        }
    })
}

/// Puts names to workers.
async fn name_workers(connection: &mut AsyncPgConnection, facts: &mut Facts) -> QueryResult<()> {
    let mut ids: Vec<i64> = facts.attempts.iter().map(|attempt| attempt.worker).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(());
    }
    let names = worker_names::names(connection, &ids).await?;
    for attempt in &mut facts.attempts {
        attempt.name = names.get(&attempt.worker).cloned();
    }
    if let Place::Processing(lease) = &mut facts.place {
        lease.name = names.get(&lease.worker).cloned();
    }
    Ok(())
}
