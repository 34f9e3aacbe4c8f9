//! What is scheduled and due becomes ready. Any worker does it.

use std::time::Duration;

use diesel::{
    QueryResult, Queryable,
    sql_types::{Array, BigInt, Double, Nullable, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use uuid::Uuid;

use crate::{
    id::BatchId,
    ready::ReadyBatch,
    statement::statement,
    task::{Lane, Name},
};

/// Batches moved in one statement.
const PAGE: i64 = 1000;

statement! {
    /// The next time is of what stays, also when others hold it locked: looking again too early costs little. The clock is read in
    /// a subquery, once: a volatile function is no index condition, and the scan would run through all that is not due.
    struct Promote -> (Array<SqlUuid>, Array<Text>, Array<Text>, Array<SmallInt>, Nullable<Double>) { page: i64 => BigInt }
    "WITH due AS (
         DELETE FROM taskrow.scheduled WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM taskrow.scheduled WHERE run_at <= (SELECT clock_timestamp())
             ORDER BY run_at, seq LIMIT $1 FOR UPDATE SKIP LOCKED))
         RETURNING *),
     moved AS (
         INSERT INTO taskrow.ready (queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask)
         SELECT queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch, mask FROM due ORDER BY run_at, seq
         RETURNING batch, queue, kind, rank)
     SELECT m.batches, m.queues, m.kinds, m.ranks,
            (SELECT extract(epoch FROM run_at - clock_timestamp())::double precision
             FROM taskrow.scheduled WHERE run_at > (SELECT clock_timestamp()) ORDER BY run_at LIMIT 1)
     FROM (SELECT coalesce(array_agg(batch), '{}') AS batches, coalesce(array_agg(queue), '{}') AS queues,
                  coalesce(array_agg(kind), '{}') AS kinds, coalesce(array_agg(rank), '{}') AS ranks
           FROM moved) AS m"
}

#[derive(Queryable)]
struct Moved {
    batches: Vec<Uuid>,
    queues: Vec<String>,
    kinds: Vec<String>,
    ranks: Vec<i16>,
    next_s: Option<f64>,
}

/// What a pass did.
#[derive(Debug, Default, PartialEq)]
pub struct Promoted {
    /// What has become ready.
    pub ready: Vec<ReadyBatch>,
    /// Until the next one is due; zero when a full page was moved and more may be due now.
    pub next_in: Option<Duration>,
}

/// Moves what is due, up to a page.
pub async fn promote(connection: &mut AsyncPgConnection) -> QueryResult<Promoted> {
    let moved: Moved = Promote { page: PAGE }.get_result(connection).await?;
    let next = moved.next_s.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let next_in = if moved.batches.len() == PAGE as usize { Some(Duration::ZERO) } else { next };
    let lanes = moved.queues.into_iter().zip(moved.kinds);
    let lane = |(queue, kind)| Some(Lane { queue: Name::new(queue).ok()?, kind: Name::new(kind).ok()? });
    let ready = moved.batches.into_iter().zip(lanes.map(lane)).zip(moved.ranks);
    let ready = ready.filter_map(|((batch, lane), rank)| {
        Some(ReadyBatch { id: BatchId::from_uuid(batch), lane: lane?, priority: -rank })
    });
    Ok(Promoted { ready: ready.collect(), next_in })
}
