//! What is scheduled and due becomes ready. Any worker does it.

use std::time::Duration;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Double, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::statement::statement;

/// Batches moved in one statement.
const PAGE: i64 = 1000;

statement! {
    /// The next time is of what stays, also when others hold it locked: looking again too early costs little. The clock is read in
    /// a subquery, once: a volatile function is no index condition, and the scan would run through all that is not due.
    struct Promote -> (Array<Text>, BigInt, Nullable<Double>) { page: i64 => BigInt }
    "WITH due AS (
         DELETE FROM taskrow.scheduled WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM taskrow.scheduled WHERE run_at <= (SELECT clock_timestamp())
             ORDER BY run_at, seq LIMIT $1 FOR UPDATE SKIP LOCKED))
         RETURNING *),
     moved AS (
         INSERT INTO taskrow.ready (queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask)
         SELECT queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask FROM due ORDER BY run_at, seq
         RETURNING queue)
     SELECT ARRAY(SELECT DISTINCT queue FROM moved),
            (SELECT count(*) FROM moved),
            (SELECT extract(epoch FROM run_at - clock_timestamp())::double precision
             FROM taskrow.scheduled WHERE run_at > (SELECT clock_timestamp()) ORDER BY run_at LIMIT 1)"
}

/// What a pass did.
#[derive(Debug, Default, PartialEq)]
pub struct Promoted {
    /// The queues that have new work.
    pub queues: Vec<String>,
    /// Batches moved.
    pub batches: usize,
    /// Until the next one is due; zero when a full page was moved and more may be due now.
    pub next_in: Option<Duration>,
}

/// Moves what is due, up to a page.
pub async fn promote(connection: &mut AsyncPgConnection) -> QueryResult<Promoted> {
    let (queues, batches, next_s): (Vec<String>, i64, Option<f64>) =
        Promote { page: PAGE }.get_result(connection).await?;
    let next = next_s.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    Ok(Promoted {
        queues,
        batches: batches.unsigned_abs() as usize,
        next_in: if batches == PAGE { Some(Duration::ZERO) } else { next },
    })
}
