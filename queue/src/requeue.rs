//! Giving tasks back: after a failed attempt, at a handler's wish, or unstarted. One fenced statement for many tasks.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Nullable, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    callbacks::mark_due, claim::LeaseId, id::TaskId, statement::statement, submit::milliseconds, task::bounded_error,
    workers::WorkerId,
};

statement! {
    /// Fenced as `finish` is. `$4`: 1 retry, 2 again, 3 release. A task whose cancellation was asked for ends here instead.
    ///
    /// Released tasks go back to their old place; parts of one batch that meet there merge.
    struct Requeue<'a> -> (SqlUuid, SmallInt) {
        worker: i64 => BigInt,
        leases: &'a [i64] => Array<BigInt>,
        ids: &'a [Uuid] => Array<SqlUuid>,
        actions: &'a [i16] => Array<SmallInt>,
        delays_ms: &'a [i64] => Array<BigInt>,
        errors: &'a [Option<String>] => Array<Nullable<Text>>,
    }
    concat!("WITH given AS MATERIALIZED (
         SELECT g.*, taskrow.task_bit(g.id) AS bit, taskrow.task_batch(g.id) AS batch
         FROM unnest($2::bigint[], $3::uuid[], $4::smallint[], $5::bigint[], $6::text[]) AS g(lease, id, action, delay_ms, error)),
     own AS MATERIALIZED (
         SELECT l.*, g.bits
         FROM (SELECT lease, batch, bit_or(bit) AS bits FROM given GROUP BY lease, batch ORDER BY lease) AS g
         CROSS JOIN LATERAL (
             SELECT * FROM taskrow.leases l
             WHERE l.id = g.lease AND l.worker = $1 AND l.batch = g.batch FOR NO KEY UPDATE) AS l),
     moved AS MATERIALIZED (
         SELECT g.id AS task_id, g.bit, g.delay_ms, g.error, own.*,
                CASE WHEN own.cancelled & g.bit <> 0 THEN 0::smallint ELSE g.action END AS action
         FROM given g JOIN own ON own.id = g.lease AND own.batch = g.batch
         WHERE own.mask & g.bit <> 0),
     cancelled AS (
         INSERT INTO taskrow.outcomes (task_id, worker, attempt, status, error, claimed_at)
         SELECT task_id, $1, attempt, 3, error, claimed_at FROM moved WHERE action = 0
         RETURNING task_id),
     failed AS (
         INSERT INTO taskrow.failures (task_id, worker, attempt, error, claimed_at)
         SELECT task_id, $1, attempt, coalesce(error, 'unknown'), claimed_at FROM moved WHERE action = 1),
     later AS (
         INSERT INTO taskrow.scheduled (run_at, queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask)
         SELECT clock_timestamp() + delay_ms * interval '1 millisecond', queue, kind, rank,
                CASE action WHEN 1 THEN attempt ELSE attempt - 1 END, crashes, max_attempts, timeout_ms, batch, bit
         FROM moved WHERE action IN (1, 2)),
     back AS (
         INSERT INTO taskrow.ready (queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch, mask)
         SELECT queue, kind, rank, seq, attempt - 1, crashes, max_attempts, timeout_ms, batch, bit_or(bit)
         FROM moved WHERE action = 3
         GROUP BY queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch
         ORDER BY queue, kind, rank, seq, attempt
         ON CONFLICT (queue, kind, rank, seq, attempt) DO UPDATE SET mask = ready.mask | excluded.mask),
     shrunk AS (
         UPDATE taskrow.leases l SET mask = l.mask & ~own.bits, cancelled = l.cancelled & ~own.bits
         FROM own WHERE l.id = own.id AND own.mask & ~own.bits <> 0),
     ended AS (
         DELETE FROM taskrow.leases l USING own WHERE l.id = own.id AND own.mask & ~own.bits = 0),
     ", mark_due!("cancelled"), "
     SELECT task_id, action FROM moved")
}

/// Why a task goes back.
#[derive(Debug, Clone)]
pub enum Reason {
    /// The attempt failed; another one may follow after the delay. The caller has checked that attempts are left.
    Retry {
        /// Wait before the next attempt.
        delay: Duration,
        /// Why this one failed.
        error: String,
    },
    /// The handler wants to be called again after the delay. Burns no attempt.
    Again {
        /// Wait before the next call.
        delay: Duration,
    },
    /// It did not start, or was stopped by its worker's shutdown. Burns no attempt.
    Release,
}

/// A task to give back.
#[derive(Debug, Clone)]
pub struct Returned {
    /// The lease under which it was held.
    pub lease: LeaseId,
    /// The task.
    pub id: TaskId,
    /// Why.
    pub reason: Reason,
}

/// What became of a task given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requeued {
    /// It waits again.
    Applied,
    /// Its cancellation had been asked for: it ended as cancelled.
    Cancelled,
    /// The lease was gone; nothing was written. (Or an earlier try with unknown effect had committed.)
    LeaseLost,
}

/// Gives tasks back; answers in the order given.
pub async fn requeue(
    connection: &mut AsyncPgConnection,
    worker: WorkerId,
    returned: &[Returned],
) -> QueryResult<Vec<Requeued>> {
    // As in `finish`. Here the second mention would make a second row.
    let mut seen = HashSet::with_capacity(returned.len());
    let given: Vec<_> = returned.iter().filter(|task| seen.insert((task.lease, task.id))).collect();
    let statement = Requeue {
        worker: worker.0,
        leases: &given.iter().map(|task| task.lease.0).collect::<Vec<_>>(),
        ids: &given.iter().map(|task| task.id.uuid()).collect::<Vec<_>>(),
        actions: &given.iter().map(|task| action(&task.reason)).collect::<Vec<_>>(),
        delays_ms: &given.iter().map(|task| delay_ms(&task.reason)).collect::<Vec<_>>(),
        errors: &given.iter().map(|task| error(&task.reason)).collect::<Vec<_>>(),
    };
    let rows: Vec<(Uuid, i16)> = statement.load(connection).await?;
    let actions: HashMap<Uuid, i16> = rows.into_iter().collect();
    let answer = |task: &Returned| match actions.get(&task.id.uuid()) {
        Some(0) => Requeued::Cancelled,
        Some(_) => Requeued::Applied,
        None => Requeued::LeaseLost,
    };
    Ok(returned.iter().map(answer).collect())
}

fn action(reason: &Reason) -> i16 {
    match reason {
        Reason::Retry { .. } => 1,
        Reason::Again { .. } => 2,
        Reason::Release => 3,
    }
}

fn delay_ms(reason: &Reason) -> i64 {
    match reason {
        Reason::Retry { delay, .. } | Reason::Again { delay } => milliseconds(*delay),
        Reason::Release => 0,
    }
}

fn error(reason: &Reason) -> Option<String> {
    match reason {
        Reason::Retry { error, .. } => Some(bounded_error(error)),
        _ => None,
    }
}
