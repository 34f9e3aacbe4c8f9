//! Giving the leases of dead workers back. Any live worker does it; there is no leader.
//!
//! In steps, each a statement that may be repeated or interrupted anywhere: a worker whose heartbeat is too old is *marked*; from
//! then on it can claim nothing. Then its leases, all of which a new snapshot sees, go back in pages. Last its row goes.

use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{callbacks::mark_due, statement::statement};

/// Workers marked in one pass.
const WORKERS_PAGE: i64 = 100;
/// Leases given back in one statement.
const LEASES_PAGE: i64 = 500;
/// After so many workers died holding it, a task is set aside as failed: it may be what kills them.
pub const CRASH_LIMIT: i16 = 5;
/// How long a dead worker stays listed, in seconds.
const KEEP_DEAD_S: i32 = 3600;

statement! {
    /// A heartbeat that comes meanwhile waits for the lock and then finds `dead_at` set; one that came first is seen, since a
    /// locked row is checked again in its newest version. A worker that is claiming right now is skipped until the next pass.
    /// After an outage of Postgres all heartbeats are old: everybody gets the time to reconnect first.
    struct Mark -> (BigInt,) { page: i64 => BigInt }
    "UPDATE taskrow.workers SET dead_at = clock_timestamp()
     WHERE id = ANY (ARRAY(
         SELECT id FROM taskrow.workers
         WHERE dead_at IS NULL
           AND heartbeat_at < clock_timestamp() - lease_ttl_ms * interval '1 millisecond'
           AND pg_postmaster_start_time() < clock_timestamp() - least(lease_ttl_ms * interval '1 millisecond', interval '10 seconds')
         ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
     RETURNING id"
}

statement! {
    /// What is written comes from the deleted rows themselves (RETURNING), never from an earlier look at them: a finish that
    /// committed in between has cleared its bits there.
    ///
    /// Leases are chosen in any order, worker by worker: with an order the plan walks through everybody's leases by their ids, or
    /// reads a page of each dead worker. They are deleted, and so locked, in the order of their ids, as everywhere: the scan of a
    /// b-tree for an array sorts the array.
    ///
    /// Tasks that were held at the second death or a later one are apart from then on, each with a time of its own: any of them may be what
    /// kills, and together they would be claimed again, killed again and set aside together, the innocent ones with it. The times are spread over the TTL,
    /// twice that after the next death, and so on: what is short has ended before the one that kills starts again. After the first death all go
    /// back at once, for nearly always it was none of them.
    ///
    /// Every attempt that a death ended is told in `failures`, the last one too: there and not in the outcome stands that it was a death.
    struct GiveBack -> (Integer, Integer, Integer) { page: i64 => BigInt, crash_limit: i16 => diesel::sql_types::SmallInt }
    concat!("WITH gone AS MATERIALIZED (
         DELETE FROM taskrow.leases WHERE id = ANY (ARRAY(
             SELECT l.id FROM taskrow.workers w CROSS JOIN LATERAL (
                 SELECT id FROM taskrow.leases l WHERE l.worker = w.id LIMIT $1) AS l
             WHERE w.dead_at IS NOT NULL
             LIMIT $1))
         RETURNING *),
     dead AS MATERIALIZED (
         SELECT worker, claimed_at, queue, kind, rank, seq, attempt, crashes + 1 AS crashes, max_attempts, timeout_ms, batch, cancelled, mask & ~cancelled AS mask,
                attempt >= max_attempts OR crashes + 1 >= $2 AS is_over
         FROM gone),
     cancelled AS (
         INSERT INTO taskrow.outcomes (task_id, worker, attempt, status, claimed_at)
         SELECT taskrow.batch_task(batch, place), worker, attempt, 3, claimed_at
         FROM dead CROSS JOIN LATERAL taskrow.mask_places(cancelled) AS place
         RETURNING task_id),
     crashed AS (
         INSERT INTO taskrow.failures (task_id, worker, attempt, error, claimed_at, crashes)
         SELECT taskrow.batch_task(batch, place), worker, attempt, 'worker ' || worker || ' died while it held the task', claimed_at, crashes
         FROM dead CROSS JOIN LATERAL taskrow.mask_places(mask) AS place),
     failed AS (
         INSERT INTO taskrow.outcomes (task_id, worker, attempt, status, error, claimed_at)
         SELECT taskrow.batch_task(batch, place), worker, attempt, 2,
                CASE WHEN crashes >= $2 THEN 'set aside: ' || crashes || ' workers died while they held it'
                     ELSE 'worker ' || worker || ' died while it held the last attempt' END, claimed_at
         FROM dead CROSS JOIN LATERAL taskrow.mask_places(mask) AS place
         WHERE is_over
         RETURNING task_id),
     back AS (
         INSERT INTO taskrow.ready (queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch, mask)
         SELECT queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch, bit_or(mask)
         FROM dead WHERE NOT is_over AND mask <> 0 AND crashes < 2
         GROUP BY queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch
         ORDER BY queue, kind, rank, seq, attempt
         ON CONFLICT (queue, kind, rank, seq, attempt) DO UPDATE SET mask = ready.mask | excluded.mask),
     apart AS (
         INSERT INTO taskrow.scheduled (run_at, queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask)
         SELECT clock_timestamp() + random() * (1 << (crashes - 2)) * interval '1 millisecond'
                    * (SELECT w.lease_ttl_ms FROM taskrow.workers w WHERE w.id = dead.worker),
                queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, 1::bigint << place
         FROM dead CROSS JOIN LATERAL taskrow.mask_places(mask) AS place
         WHERE NOT is_over AND crashes >= 2),
     ended AS (SELECT task_id FROM cancelled UNION ALL SELECT task_id FROM failed),
     ", mark_due!("ended"), "
     SELECT (SELECT count(*)::integer FROM gone),
            (SELECT coalesce(sum(taskrow.mask_size(mask)), 0)::integer FROM dead WHERE NOT is_over),
            (SELECT count(*)::integer FROM failed) + (SELECT count(*)::integer FROM cancelled)")
}

statement! {
    /// Dead workers without leases, an hour later.
    struct Forget -> (BigInt,) { keep_s: i32 => Integer }
    "DELETE FROM taskrow.workers w
     WHERE w.dead_at < clock_timestamp() - $1 * interval '1 second'
       AND NOT EXISTS (SELECT FROM taskrow.leases l WHERE l.worker = w.id)
     RETURNING w.id"
}

/// What a pass did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Workers found dead.
    pub workers: Vec<i64>,
    /// Tasks that wait again.
    pub returned: usize,
    /// Tasks that ended instead: out of attempts, set aside, or cancelled.
    pub ended: usize,
}

/// One pass: marks dead workers and gives all their leases back. Needs a durable connection, for it writes outcomes.
pub async fn rescue(connection: &mut AsyncPgConnection) -> QueryResult<Rescued> {
    let marked: Vec<(i64,)> = Mark { page: WORKERS_PAGE }.load(connection).await?;
    let mut rescued = Rescued { workers: marked.into_iter().map(|(id,)| id).collect(), ..Rescued::default() };
    loop {
        let (leases, returned, ended): (i32, i32, i32) =
            GiveBack { page: LEASES_PAGE, crash_limit: CRASH_LIMIT }.get_result(connection).await?;
        rescued.returned += returned.unsigned_abs() as usize;
        rescued.ended += ended.unsigned_abs() as usize;
        if i64::from(leases) < LEASES_PAGE {
            break;
        }
    }
    let _: Vec<(i64,)> = Forget { keep_s: KEEP_DEAD_S }.load(connection).await?;
    Ok(rescued)
}
