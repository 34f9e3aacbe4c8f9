//! What a waiting task waits behind, and for whom.

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, SmallInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{mask::Mask, statement::statement};

/// Batches counted before a task. What is further ahead is told as "at least".
const AHEAD_LIMIT: i64 = 1000;
/// Workers listed.
pub const LISTED_LIMIT: i64 = 10;
/// Queues and kinds told of each.
const NAMES_LIMIT: i32 = 50;

statement! {
    /// From the task towards the front: with a backlog the nearest rows are live, and dead entries at the front are not met.
    struct CountAhead<'a> -> (BigInt, BigInt) {
        queue: &'a str => Text,
        kind: &'a str => Text,
        rank: i16 => SmallInt,
        seq: i64 => BigInt,
        attempt: i16 => SmallInt,
        limit: i64 => BigInt,
    }
    "SELECT count(*), coalesce(sum(taskrow.mask_size(mask)), 0)::bigint
     FROM (SELECT mask FROM taskrow.ready
           WHERE queue = $1 AND kind = $2 AND (rank, seq, attempt) < ($3, $4, $5)
           ORDER BY rank DESC, seq DESC, attempt DESC LIMIT $6) AS ahead"
}

statement! {
    /// Those that take the lane first, then those of its queue. The sums are over all that live.
    struct Live<'a> -> (BigInt, Text, Text, Array<Text>, Array<Text>, Bool, BigInt, BigInt, BigInt) {
        queue: &'a str => Text,
        kind: &'a str => Text,
        limit: i64 => BigInt,
        names_limit: i32 => diesel::sql_types::Integer,
    }
    "SELECT id, name, version, queues[:$4], kinds[:$4], takes,
            count(*) OVER (), count(*) FILTER (WHERE takes) OVER (), coalesce(sum(concurrency) FILTER (WHERE takes) OVER (), 0)::bigint
     FROM (SELECT *, $1 = ANY (queues) AS serves, $1 = ANY (queues) AND $2 = ANY (kinds) AS takes FROM taskrow.workers
           WHERE dead_at IS NULL AND heartbeat_at > clock_timestamp() - lease_ttl_ms * interval '1 millisecond') AS live
     ORDER BY takes DESC, serves DESC, id DESC LIMIT $3"
}

/// Where a ready task stands in its lane.
pub(super) struct Position<'a> {
    pub(super) queue: &'a str,
    pub(super) kind: &'a str,
    pub(super) rank: i16,
    pub(super) seq: i64,
    pub(super) attempt: i16,
    pub(super) mask: Mask,
    pub(super) bit: Mask,
}

/// How many tasks of its lane come before a task. (Other lanes of the same workers may come first too.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// So many.
    pub tasks: u64,
    /// Or more: counting stopped there.
    pub at_least: bool,
}

/// The live workers, seen from a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneWorkers {
    /// All that live.
    pub alive: u64,
    /// Those of them that take the lane.
    pub taking: u64,
    /// Tasks that these run at once.
    pub slots: u64,
    /// At most [`LISTED_LIMIT`] of all, those that take the lane first.
    pub listed: Vec<LiveWorker>,
}

/// A live worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveWorker {
    /// Its identity.
    pub id: i64,
    /// The pod's or host's name.
    pub name: String,
    /// Its release.
    pub version: String,
    /// Queues it takes from, the first fifty.
    pub queues: Vec<String>,
    /// Kinds it has handlers for, the first fifty.
    pub kinds: Vec<String>,
    /// Whether it takes the lane.
    pub takes: bool,
}

/// Counts what is before a task.
pub(super) async fn ahead(connection: &mut AsyncPgConnection, at: Position<'_>) -> QueryResult<Ahead> {
    let Position { queue, kind, rank, seq, attempt, .. } = at;
    let (rows, tasks): (i64, i64) =
        CountAhead { queue, kind, rank, seq, attempt, limit: AHEAD_LIMIT }.get_result(connection).await?;
    // A batch is claimed from its lowest bit on.
    let in_batch = at.mask.places().take_while(|place| !Mask::of_place(*place).contains(at.bit)).count();
    Ok(Ahead { tasks: tasks.unsigned_abs() + in_batch as u64, at_least: rows == AHEAD_LIMIT })
}

/// The live workers and whether they take a lane.
pub(super) async fn workers(connection: &mut AsyncPgConnection, queue: &str, kind: &str) -> QueryResult<LaneWorkers> {
    type Row = (i64, String, String, Vec<String>, Vec<String>, bool, i64, i64, i64);
    let rows: Vec<Row> = Live { queue, kind, limit: LISTED_LIMIT, names_limit: NAMES_LIMIT }.load(connection).await?;
    let mut workers = LaneWorkers::default();
    for (id, name, version, queues, kinds, takes, alive, taking, slots) in rows {
        (workers.alive, workers.taking, workers.slots) =
            (alive.unsigned_abs(), taking.unsigned_abs(), slots.unsigned_abs());
        workers.listed.push(LiveWorker { id, name, version, queues, kinds, takes });
    }
    Ok(workers)
}
