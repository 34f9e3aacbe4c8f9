//! The attempts of a task: each claim that burnt one.
//!
//! Not among them, for they burn none: claims given back unstarted or at a stop of the worker, and those whose handler asked to be
//! called again. Release 0.9.0 kept no record of an attempt that ended by its worker's death unless it was the last.

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Place;
use crate::{id::TaskId, statement::statement, task::Status, worker_names::WorkerName};

/// Most attempts told, the newest ones.
pub const ATTEMPTS_LIMIT: usize = 50;
/// Longest error of an attempt told, in characters; the whole of the last one is in the task.
pub const ERROR_LIMIT: i32 = 1000;

statement! {
    struct Past -> (SmallInt, BigInt, Nullable<Timestamptz>, Timestamptz, Text, Nullable<SmallInt>) {
        id: Uuid => SqlUuid,
        limit: i64 => BigInt,
        error_limit: i32 => Integer,
    }
    "SELECT attempt, worker, claimed_at, failed_at, left(error, $3), crashes
     FROM taskrow.failures WHERE task_id = $1 ORDER BY failed_at DESC LIMIT $2"
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which: counts from 1, and anew after a retry by hand.
    pub number: i16,
    /// The worker that made it.
    pub worker: i64,
    /// Its name and release, if known.
    pub name: Option<WorkerName>,
    /// When it was claimed. The handler may have started later: a worker claims a little ahead. None: it was done within a second of
    /// its claim, or release 0.9.0 recorded it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; none: it has not.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub ended: Ended,
    /// Why it failed, cut to [`ERROR_LIMIT`].
    pub error: Option<String>,
    /// How many workers had died holding the task, if this one did.
    pub crashes: Option<i16>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It runs.
    Not,
    /// With a result.
    Done,
    /// The handler failed, or ran out of time.
    Failed,
    /// Its worker died.
    Crashed,
    /// By request.
    Cancelled,
}

/// The attempts that are over and are not told by the task's outcome, oldest first; and whether there were more than told.
pub(super) async fn past(connection: &mut AsyncPgConnection, id: TaskId) -> QueryResult<(Vec<Attempt>, bool)> {
    type Row = (i16, i64, Option<DateTime<Utc>>, DateTime<Utc>, String, Option<i16>);
    let past = Past { id: id.uuid(), limit: ATTEMPTS_LIMIT as i64 + 1, error_limit: ERROR_LIMIT };
    let mut rows: Vec<Row> = past.load(connection).await?;
    let is_cut = rows.len() > ATTEMPTS_LIMIT;
    rows.truncate(ATTEMPTS_LIMIT);
    let attempt = |(number, worker, started_at, ended_at, error, crashes): Row| Attempt {
        number,
        worker,
        name: None,
        started_at,
        ended_at: Some(ended_at),
        ended: if crashes.is_some() { Ended::Crashed } else { Ended::Failed },
        error: Some(error),
        crashes,
    };
    Ok((rows.into_iter().rev().map(attempt).collect(), is_cut))
}

/// Adds the attempt that runs, or the one that ended the task: `number` is how many it has burnt.
pub(super) fn add_present(attempts: &mut Vec<Attempt>, place: &Place, number: i16) {
    let present = match place {
        Place::Processing(lease) => Attempt {
            number,
            worker: lease.worker,
            name: None,
            started_at: Some(lease.since),
            ended_at: None,
            ended: Ended::Not,
            error: None,
            crashes: None,
        },
        Place::Ended { status, at, started_at, worker: Some(worker), error } if number > 0 => Attempt {
            number,
            worker: *worker,
            name: None,
            started_at: *started_at,
            ended_at: Some(*at),
            ended: match status {
                Status::Done => Ended::Done,
                Status::Cancelled => Ended::Cancelled,
                _ => Ended::Failed,
            },
            error: error.as_ref().map(|error| error.chars().take(ERROR_LIMIT as usize).collect()),
            crashes: None,
        },
        _ => return,
    };
    // The worker's death is told already, and with it why the task ended.
    let is_told = |last: &Attempt| {
        present.ended == Ended::Failed
            && last.ended == Ended::Crashed
            && (last.number, last.worker) == (number, present.worker)
    };
    if !attempts.last().is_some_and(is_told) {
        attempts.push(present);
    }
}
