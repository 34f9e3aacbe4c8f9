//! Storing tasks: one statement for any number of them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::{
    result::{DatabaseErrorKind, Error},
    sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    id::{BATCH_SIZE, BatchId, TaskId},
    mask::Mask,
    statement::statement,
    task::{Lane, NewTask, Options, Start},
};

/// Storing as one statement, with or without more of it.
macro_rules! submit {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty => $sql_type:ty),* } $more:literal) => {
        statement! {
            $(#[$meta])*
            struct $name<'a> -> (SqlUuid,) {
                batches: &'a [Uuid] => Array<SqlUuid>,
                masks: &'a [i64] => Array<BigInt>,
                lanes: &'a [i32] => Array<Integer>,
                priorities: &'a [i16] => Array<SmallInt>,
                max_attempts: &'a [i16] => Array<SmallInt>,
                timeouts_ms: &'a [i32] => Array<Integer>,
                delays_ms: &'a [Option<i64>] => Array<Nullable<BigInt>>,
                starts: &'a [Option<DateTime<Utc>>] => Array<Nullable<Timestamptz>>,
                queues: &'a [&'a str] => Array<Text>,
                kinds: &'a [&'a str] => Array<Text>,
                ids: &'a [Uuid] => Array<SqlUuid>,
                positions: &'a [i32] => Array<Integer>,
                payloads: &'a [&'a str] => Array<Text>,
                $($field: $kind => $sql_type,)*
            }
            // Only the database's clock decides whether a batch is due, and one look at it: two could put a batch into both tables.
            // Lanes are named by number, for the nth text of an array is found by walking over those before it.
            concat!(
                "WITH batches AS MATERIALIZED (
                      SELECT b.*, ($9::text[])[b.lane] AS queue, ($10::text[])[b.lane] AS kind,
                             coalesce(b.start, clock.now + b.delay_ms * interval '1 millisecond') AS run_at,
                             coalesce(b.start > clock.now, b.delay_ms > 0, false) AS is_later
                      FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock
                      CROSS JOIN unnest($1::uuid[], $2::bigint[], $3::integer[], $4::smallint[], $5::smallint[], $6::integer[], $7::bigint[],
                                        $8::timestamptz[])
                           AS b(batch, mask, lane, priority, max_attempts, timeout_ms, delay_ms, start)),
                  stored AS (
                      INSERT INTO taskrow.records (id, queue, kind, priority, max_attempts, timeout_ms, payload)
                      SELECT t.id, ($9::text[])[($3::integer[])[t.at]], ($10::text[])[($3::integer[])[t.at]], ($4::smallint[])[t.at],
                             ($5::smallint[])[t.at], ($6::integer[])[t.at], t.payload::json
                      FROM unnest($11::uuid[], $12::integer[], $13::text[]) AS t(id, at, payload)),
                  due AS (
                      INSERT INTO taskrow.ready (batch, mask, queue, kind, rank, max_attempts, timeout_ms)
                      SELECT batch, mask, queue, kind, -priority, max_attempts, timeout_ms
                      FROM batches WHERE NOT is_later),
                  later AS (
                      INSERT INTO taskrow.scheduled (run_at, batch, mask, queue, kind, rank, max_attempts, timeout_ms)
                      SELECT run_at, batch, mask, queue, kind, -priority, max_attempts, timeout_ms
                      FROM batches WHERE is_later
                      RETURNING batch)",
                $more,
                " SELECT batch FROM later"
            )
        }
    };
}

submit! {
    /// Records, and one row per batch in `ready` or `scheduled`. All or nothing.
    Submit {} ""
}

submit! {
    /// As [`Submit`], for tasks some of which have a callback.
    SubmitWithCallbacks { called: &'a [Uuid] => Array<SqlUuid>, urls: &'a [&'a str] => Array<Text> }
    ", callbacks AS (INSERT INTO taskrow.callbacks (task_id, url) SELECT * FROM unnest($14::uuid[], $15::text[]))"
}

/// Tasks with their ids, ready to be stored. Making one fixes the ids, so storing it twice cannot store the tasks twice.
#[derive(Debug)]
pub struct Submission {
    batches: Vec<Batch>,
    /// Parallel to the tasks given.
    ids: Vec<TaskId>,
    tasks: Vec<NewTask>,
}

#[derive(Debug)]
struct Batch {
    id: BatchId,
    mask: Mask,
    /// Index of a task whose options all tasks of the batch share.
    example: usize,
}

/// What [`store`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    /// Stored now. Holds the batches that were not due.
    Now(HashSet<BatchId>),
    /// These very ids had been stored before: an earlier attempt had committed after all.
    Before,
}

impl Submission {
    /// Puts tasks that share their options into batches of up to 64 and gives each its id.
    pub fn new(tasks: Vec<NewTask>) -> Self {
        let mut batches: Vec<Batch> = Vec::new();
        let mut open: HashMap<&Options, usize> = HashMap::new();
        let mut ids = Vec::with_capacity(tasks.len());
        for (index, task) in tasks.iter().enumerate() {
            let current = open.get(&task.options).copied().filter(|at| batches[*at].mask.size() < BATCH_SIZE);
            let at = current.unwrap_or_else(|| {
                batches.push(Batch { id: BatchId::new(), mask: Mask::EMPTY, example: index });
                open.insert(&task.options, batches.len() - 1);
                batches.len() - 1
            });
            let batch = &mut batches[at];
            let id = batch.id.task(batch.mask.size() as u32);
            batch.mask = batch.mask | id.bit();
            ids.push(id);
        }
        Self { batches, ids, tasks }
    }

    /// The ids, in the order of the tasks given.
    pub fn ids(&self) -> &[TaskId] {
        &self.ids
    }

    /// The tasks, in the order given.
    pub fn tasks(&self) -> &[NewTask] {
        &self.tasks
    }

    /// Takes the tasks back, to be submitted under other ids.
    pub fn into_tasks(self) -> Vec<NewTask> {
        self.tasks
    }

    /// The same without some of the tasks, `keep` being asked by index: those left keep their ids.
    pub(crate) fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.ids.len()).filter(|index| keep(*index)).collect();
        let mut batches: Vec<Batch> = Vec::new();
        let mut at: HashMap<BatchId, usize> = HashMap::new();
        for (example, index) in kept.iter().enumerate() {
            let id = self.ids[*index];
            let at = *at.entry(id.batch()).or_insert_with(|| {
                batches.push(Batch { id: id.batch(), mask: Mask::EMPTY, example });
                batches.len() - 1
            });
            batches[at].mask = batches[at].mask | id.bit();
        }
        let ids = kept.iter().map(|index| self.ids[*index]).collect();
        let tasks = kept.iter().map(|index| self.tasks[*index].clone()).collect();
        Self { batches, ids, tasks }
    }

    /// The batches, each with the options that all its tasks share.
    pub fn batches(&self) -> impl Iterator<Item = (BatchId, &Options)> {
        self.batches.iter().map(|batch| batch.id).zip(self.options())
    }

    /// Those whose end is to be told, and where.
    fn callbacks(&self) -> Vec<(Uuid, &str)> {
        let tasks = self.ids.iter().zip(&self.tasks);
        tasks.filter_map(|(id, task)| Some((id.uuid(), task.callback_url.as_deref()?))).collect()
    }

    fn options(&self) -> impl Iterator<Item = &Options> {
        self.batches.iter().map(|batch| &self.tasks[batch.example].options)
    }
}

/// Stores a submission. After an error whose effect is unknown (a broken connection), store the same submission again:
/// if the first try had committed, the answer is [`Stored::Before`].
///
/// The connection is shared, so that another statement can be sent behind this one without waiting for the answer in between.
pub async fn store(connection: &AsyncPgConnection, submission: &Submission) -> Result<Stored, Error> {
    let at: HashMap<BatchId, i32> = submission.batches.iter().map(|batch| batch.id).zip(1..).collect();
    let mut lanes: Vec<&Lane> = Vec::new();
    let mut lane_at: HashMap<&Lane, i32> = HashMap::new();
    for options in submission.options() {
        lane_at.entry(&options.lane).or_insert_with(|| {
            lanes.push(&options.lane);
            lanes.len() as i32
        });
    }
    // The same columns for either statement.
    macro_rules! run {
        ($name:ident { $($field:ident: $value:expr),* }) => {
            $name {
                batches: &submission.batches.iter().map(|batch| batch.id.uuid()).collect::<Vec<_>>(),
                masks: &submission.batches.iter().map(|batch| batch.mask.to_sql()).collect::<Vec<_>>(),
                lanes: &submission.options().map(|options| lane_at[&options.lane]).collect::<Vec<_>>(),
                priorities: &submission.options().map(|options| options.priority).collect::<Vec<_>>(),
                max_attempts: &submission.options().map(|options| options.max_attempts).collect::<Vec<_>>(),
                timeouts_ms: &submission.options().map(|options| milliseconds(options.timeout) as i32).collect::<Vec<_>>(),
                delays_ms: &submission.options().map(delay_ms).collect::<Vec<_>>(),
                starts: &submission.options().map(start_at).collect::<Vec<_>>(),
                queues: &lanes.iter().map(|lane| lane.queue.as_str()).collect::<Vec<_>>(),
                kinds: &lanes.iter().map(|lane| lane.kind.as_str()).collect::<Vec<_>>(),
                ids: &submission.ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
                positions: &submission.ids.iter().map(|id| at[&id.batch()]).collect::<Vec<_>>(),
                payloads: &submission.tasks.iter().map(|task| task.payload.get()).collect::<Vec<_>>(),
                $($field: $value,)*
            }
            .load::<(Uuid,)>(&mut &*connection)
            .await
        };
    }
    let callbacks = submission.callbacks();
    let stored = if callbacks.is_empty() {
        run!(Submit {})
    } else {
        let (called, urls): (Vec<_>, Vec<_>) = callbacks.into_iter().unzip();
        run!(SubmitWithCallbacks { called: &called, urls: &urls })
    };
    match stored {
        Ok(later) => Ok(Stored::Now(later.into_iter().map(|(batch,)| BatchId::from_uuid(batch)).collect())),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(Stored::Before),
        Err(error) => Err(error),
    }
}

pub(crate) fn delay_ms(options: &Options) -> Option<i64> {
    match options.start {
        Start::After(delay) => Some(milliseconds(delay)),
        _ => None,
    }
}

pub(crate) fn start_at(options: &Options) -> Option<DateTime<Utc>> {
    match options.start {
        Start::At(time) => Some(time),
        _ => None,
    }
}

/// Callers keep durations within the limits of [`crate::task`], far below what 32 bits of milliseconds hold.
pub(crate) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
