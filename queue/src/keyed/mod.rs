//! Submitting once: requests and tasks that carry a key.
//!
//! Two kinds of keys, alone or together:
//! - an *idempotency key* names a request. A repeated request gets the first one's tasks, until the key expires.
//! - a *unique key* names a task among those of its queue and kind. While its holder is open, a submit with the same key gets the holder, or
//!   [replaces](UniqueMode::Replace) what it is about to do.
//!
//! [`store`] is a transaction of a few statements, unlike the rest of this crate; tasks without a key never come here ([`crate::submit`]). Keys are
//! taken first: whoever comes second waits for the first one's commit, a bounded time. After that the transaction looks, in statements of their own
//! (so by snapshots that see what was committed meanwhile), and stores what is left by the ordinary statement. A task that ends writes
//! nothing about its key: whether the holder is open is found out by the next submit, from its outcome.
//!
//! Locks are taken in this order: the idempotency key, unique keys in their order, then, of tasks that are replaced, rows of `ready` and
//! `scheduled`. Nobody who holds one of the latter waits for a key.
//!
//! - `key`: what a key is; `request`: tasks and their keys, folded
//! - `idempotency`, `unique`, `standing`, `replace`: the statements
//! - [`clean_up`]: removing keys that mean nothing any more

mod cleanup;
mod idempotency;
mod key;
mod replace;
mod request;
mod standing;
pub(crate) mod unique;

use std::collections::{HashMap, HashSet};

use diesel::result::Error;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use schema::partitions::is_lock_failure;
use serde::Serialize;
use uuid::Uuid;

pub(crate) use self::cleanup::clean_up;
use self::{
    idempotency::Taken,
    replace::Waits,
    request::{Held, Item},
    standing::Standing,
    unique::Wanted,
};
pub use self::{
    idempotency::is_known,
    key::{BadKey, GLOBAL_SCOPE, Idempotency, KEY_LIMIT, Unique, UniqueKey, UniqueMode},
    request::Request,
};
use crate::{
    id::{BatchId, TaskId},
    ready::ReadyBatch,
    submit::{self, Stored, Submission, milliseconds},
    task::{NewTask, Start, Status},
};

/// How long to wait for whoever holds a key, how long to hold keys if the process stops in the middle, and plans that do not depend
/// on statistics (see [`crate::session`]; these connections may come from a pool).
const SETTINGS: &str = "SET LOCAL lock_timeout = '3s'; SET LOCAL idle_in_transaction_session_timeout = '5s';
                        SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan";
/// How often to look again at a task that moves between two looks. Each move is a commit of another process.
const TRIES: usize = 8;

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Stored now.
    Stored,
    /// The request had been stored before: this is its task.
    Replayed,
    /// Not stored: this open task holds the unique key.
    Kept,
    /// Not stored: this task holds the unique key, waits, and got the payload and the start.
    Replaced,
}

impl How {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Replayed => "replayed",
            Self::Kept => "kept",
            Self::Replaced => "replaced",
        }
    }
}

/// A task that answers one of a request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its id.
    pub id: TaskId,
    /// Why it is this one.
    pub how: How,
    /// Where it stands. (It may be further by the time anyone looks.) What a replayed task was at first, if retention has removed it.
    pub status: Status,
    /// -100..=100, higher first.
    pub priority: i16,
    /// How often it may be claimed.
    pub max_attempts: i16,
    /// Longest run of one attempt, in milliseconds.
    pub timeout_ms: i32,
}

/// What [`store`] did.
#[derive(Debug)]
pub enum Outcome {
    /// It is stored, or was before.
    Answered(Answer),
    /// Another request has come with this idempotency key. Nothing was done.
    Reused,
    /// A key is in the hands of a transaction that does not end, or a task to be replaced kept moving. Nothing was done; try again.
    InUse,
}

/// The tasks of a request, and the news of them.
#[derive(Debug, Default)]
pub struct Answer {
    /// In the order sent.
    pub tasks: Vec<Answered>,
    /// To be [published](ReadyBatch), now that it is committed.
    pub ready: Vec<ReadyBatch>,
    /// Whether something has a time, so that who waits for the next one must look.
    pub is_something_later: bool,
}

/// Why a transaction is rolled back.
enum Abort {
    InUse,
    Failed(Error),
}

impl From<Error> for Abort {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is known about one of the request's distinct tasks.
#[derive(Clone, Copy)]
enum Fate {
    /// It is to be stored.
    Store,
    /// An earlier try has stored it.
    Before(Standing),
    /// Another task holds its key, and stays as it is.
    Kept(TaskId, Standing),
    /// Another task holds its key and has taken its payload.
    Replaced(TaskId, Standing),
}

/// Stores a request's tasks, or finds those that stand for them. All or nothing.
///
/// After an error whose effect is unknown (a broken connection), store the same request again with `is_again`: it finds what
/// the first try has committed, also if that is still about to.
pub async fn store(connection: &mut AsyncPgConnection, request: &Request, is_again: bool) -> Result<Outcome, Error> {
    let done = connection.transaction(async |connection| {
        connection.batch_execute(SETTINGS).await?;
        attempt(connection, request, is_again).await
    });
    match done.await {
        Ok(outcome) => Ok(outcome),
        Err(Abort::InUse) => Ok(Outcome::InUse),
        Err(Abort::Failed(error)) => Err(error),
    }
}

async fn attempt(connection: &mut AsyncPgConnection, request: &Request, is_again: bool) -> Result<Outcome, Abort> {
    if let Some(idempotency) = &request.idempotency {
        let own = request.submission.ids();
        let expected: Vec<Uuid> = request.items().iter().map(|item| own[item.at].uuid()).collect();
        match idempotency::take(connection, idempotency, request.id, &expected).await.map_err(in_use)? {
            Taken::Now => {}
            Taken::Before { is_same: false, .. } => return Ok(Outcome::Reused),
            Taken::Before { request: by, task_ids, .. } => {
                let standings = standing::find(connection, task_ids.iter().copied()).await?;
                return Ok(Outcome::Answered(replay(request, by == request.id, &task_ids, &standings)));
            }
            Taken::Unclear => return Err(Abort::InUse),
        }
    }
    let mut answer = Answer::default();
    let fates = settle_all(connection, request, is_again, &mut answer).await?;
    let later = store_rest(connection, request, &fates, &mut answer).await?;
    answer.tasks = request.items().iter().map(|item| answered(request, *item, fates[item.at], &later)).collect();
    if let Some(idempotency) = &request.idempotency
        && fates.iter().any(|fate| matches!(fate, Fate::Kept(..) | Fate::Replaced(..)))
    {
        let ids: Vec<Uuid> = answer.tasks.iter().map(|task| task.id.uuid()).collect();
        idempotency::note(connection, idempotency, &ids).await?;
    }
    Ok(Outcome::Answered(answer))
}

/// Takes all unique keys, and finds out which tasks are to be stored.
async fn settle_all(
    connection: &mut AsyncPgConnection,
    request: &Request,
    is_again: bool,
    answer: &mut Answer,
) -> Result<Vec<Fate>, Abort> {
    let mut fates = vec![Fate::Store; request.submission.ids().len()];
    let wanted: Vec<_> = request.held.iter().map(|held| wanted(request, held)).collect();
    let holders = match wanted.as_slice() {
        [] => Vec::new(),
        wanted => unique::lock(connection, wanted).await.map_err(in_use)?,
    };
    if is_again {
        // Only now: an earlier try that is still committing held the keys.
        let before = standing::find(connection, request.submission.ids().iter().copied()).await?;
        for (fate, id) in fates.iter_mut().zip(request.submission.ids()) {
            *fate = before.get(id).map_or(Fate::Store, |standing| Fate::Before(*standing));
        }
        if !before.is_empty() {
            tell_again(request, answer);
        }
    }
    let others = wanted.iter().zip(&holders).filter(|(wanted, holder)| wanted.task != **holder);
    let standings = standing::find(connection, others.map(|(_, holder)| *holder)).await?;
    let mut given = Vec::with_capacity(wanted.len());
    for ((held, wanted), holder) in request.held.iter().zip(wanted).zip(holders) {
        if !matches!(fates[held.at], Fate::Store) {
            continue;
        }
        if wanted.task != holder {
            let standing = standings.get(&holder).copied();
            fates[held.at] = settle(connection, request, held, holder, standing, answer).await?;
        }
        if matches!(fates[held.at], Fate::Store) {
            given.push(wanted);
        }
    }
    if !given.is_empty() {
        unique::give(connection, &given).await?;
    }
    Ok(fates)
}

/// What becomes of a task whose key another one had. The key is locked, so that one cannot be queued again by hand if it has ended.
async fn settle(
    connection: &mut AsyncPgConnection,
    request: &Request,
    held: &Held,
    holder: TaskId,
    mut standing: Option<Standing>,
    answer: &mut Answer,
) -> Result<Fate, Abort> {
    let task = &request.submission.tasks()[held.at];
    for _ in 0..TRIES {
        let Some(open) = standing.filter(|standing| !standing.status.is_final()) else { return Ok(Fate::Store) };
        if held.mode == UniqueMode::Keep || open.status == Status::Processing {
            return Ok(Fate::Kept(holder, open));
        }
        let replaced = replace::replace(connection, holder, &task.options.lane, task).await.map_err(in_use)?;
        let status = match replaced {
            Some(Waits::Ready(batch)) => {
                answer.ready.push(batch);
                Status::Queued
            }
            Some(Waits::Scheduled) => {
                answer.is_something_later = true;
                Status::Scheduled
            }
            None => {
                standing = standing::find(connection, [holder]).await?.remove(&holder);
                continue;
            }
        };
        return Ok(Fate::Replaced(holder, Standing { status, ..open }));
    }
    Err(Abort::InUse)
}

/// Stores what is to be stored, and tells which batches were not due.
async fn store_rest(
    connection: &mut AsyncPgConnection,
    request: &Request,
    fates: &[Fate],
    answer: &mut Answer,
) -> Result<HashSet<BatchId>, Error> {
    let part;
    let submission: &Submission = if fates.iter().all(|fate| matches!(fate, Fate::Store)) {
        &request.submission
    } else {
        part = request.submission.only(|at| matches!(fates[at], Fate::Store));
        &part
    };
    if submission.ids().is_empty() {
        return Ok(HashSet::new());
    }
    let Stored::Now(later) = submit::store(connection, submission).await? else {
        // Ids are made once, and those stored by an earlier try were left out.
        return Err(Error::RollbackTransaction);
    };
    for (id, options) in submission.batches().filter(|(id, _)| !later.contains(id)) {
        answer.ready.push(ReadyBatch { id, lane: options.lane.clone(), priority: options.priority });
    }
    answer.is_something_later |= !later.is_empty();
    Ok(later)
}

fn answered(request: &Request, item: Item, fate: Fate, later: &HashSet<BatchId>) -> Answered {
    let own = request.submission.ids()[item.at];
    match fate {
        Fate::Store => {
            let status = if later.contains(&own.batch()) { Status::Scheduled } else { Status::Queued };
            as_submitted(own, &request.submission.tasks()[item.at], status, item.how_if_stored())
        }
        Fate::Before(standing) => as_found(own, standing, item.how_if_stored()),
        Fate::Kept(holder, standing) => as_found(holder, standing, How::Kept),
        Fate::Replaced(holder, standing) => as_found(holder, standing, item.how_if_replaced()),
    }
}

/// The answer of a request that was stored before: by an earlier try of this one, or by another request that was the same.
fn replay(request: &Request, is_own: bool, ids: &[TaskId], standings: &HashMap<TaskId, Standing>) -> Answer {
    let mut answer = Answer::default();
    if is_own {
        tell_again(request, &mut answer);
    }
    let tasks = ids.iter().zip(request.items()).map(|(id, item)| {
        let is_stored = is_own && *id == request.submission.ids()[item.at];
        let how = if is_stored { item.how_if_stored() } else { How::Replayed };
        if let Some(standing) = standings.get(id) {
            return as_found(*id, *standing, how);
        }
        let task = &request.submission.tasks()[item.at];
        let status = if task.options.start == Start::Now { Status::Queued } else { Status::Scheduled };
        as_submitted(*id, task, status, how)
    });
    answer.tasks = tasks.collect();
    answer
}

/// The news of an earlier try, which told nobody. Hints: some of it may be old by now.
fn tell_again(request: &Request, answer: &mut Answer) {
    for (id, options) in request.submission.batches() {
        answer.ready.push(ReadyBatch { id, lane: options.lane.clone(), priority: options.priority });
        answer.is_something_later |= options.start != Start::Now;
    }
}

fn as_submitted(id: TaskId, task: &NewTask, status: Status, how: How) -> Answered {
    let options = &task.options;
    let timeout_ms = i32::try_from(milliseconds(options.timeout)).unwrap_or(i32::MAX);
    Answered { id, how, status, priority: options.priority, max_attempts: options.max_attempts, timeout_ms }
}

fn as_found(id: TaskId, standing: Standing, how: How) -> Answered {
    let Standing { status, priority, max_attempts, timeout_ms } = standing;
    Answered { id, how, status, priority, max_attempts, timeout_ms }
}

fn wanted<'a>(request: &'a Request, held: &'a Held) -> Wanted<'a> {
    let lane = &request.submission.tasks()[held.at].options.lane;
    Wanted { lane, key: &held.key, task: request.submission.ids()[held.at] }
}

/// An error of a statement that waits for others.
fn in_use(error: Error) -> Abort {
    if is_lock_failure(&error) { Abort::InUse } else { Abort::Failed(error) }
}

/// Whether a task holds its key, or may have it back: what a retry by hand must know. To be called in a transaction, which then holds the key's
/// row locked.
///
/// None: the task has its key, or never had one. Otherwise the open task that holds it.
pub(crate) async fn take_back(connection: &mut AsyncPgConnection, wanted: Wanted<'_>) -> Result<Option<TaskId>, Error> {
    let holders = unique::lock(connection, &[wanted]).await?;
    let Some(holder) = holders.first().copied().filter(|holder| *holder != wanted.task) else { return Ok(None) };
    let standing = standing::find(connection, [holder]).await?.remove(&holder);
    if standing.is_some_and(|standing| !standing.status.is_final()) {
        return Ok(Some(holder));
    }
    unique::give(connection, &[wanted]).await?;
    Ok(None)
}
