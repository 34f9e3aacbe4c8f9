//! Taking tasks: one statement that deletes rows of `ready`, makes leases and returns payloads.
//!
//! [`claim`] takes what is first in its lanes. [`claim_batches`] takes what is left of batches that it was told of.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use diesel::{
    QueryResult, Queryable,
    sql_types::{Array, BigInt, Double, Integer, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    id::{BatchId, TaskId},
    json::Json,
    mask::Mask,
    statement::statement,
    task::{Lane, Name},
    workers::WorkerId,
};

/// A claimed task, as [`Row`] has it.
type TaskColumns = (BigInt, Text, Text, SmallInt, SmallInt, Integer, SmallInt, BigInt, Double, SqlUuid, Text);

/// A claim as one statement. What differs is only `picked`: which rows of `ready` to lock; `$1` is the worker and `$2` the number of tasks.
///
/// - `me`: a worker that was found dead can claim nothing. The lock makes `rescue` wait until this claim has committed,
///   or makes this claim see that it is dead; a lease that rescue cannot see would be lost for ever.
/// - `picked`: rows locked, and how many tasks come before each.
/// - `gone`: by ctid, of rows we hold locked. What counts afterwards is what was really deleted.
/// - `taken`, `rest`: the last batch is split, and what is over goes back under the same key.
macro_rules! claim_sql {
    ($picked:literal, $more:literal) => {
        concat!(
            "WITH me AS MATERIALIZED (
                 SELECT id FROM taskrow.workers WHERE id = $1 AND dead_at IS NULL FOR KEY SHARE),
             ",
            $picked,
            ",
             gone AS (
                 DELETE FROM taskrow.ready WHERE ctid = ANY (ARRAY(SELECT ctid FROM picked WHERE before < $2)) RETURNING *),
             taken AS MATERIALIZED (
                 SELECT g.*, CASE WHEN g.before + g.size <= $2 THEN g.mask ELSE taskrow.mask_lowest(g.mask, ($2 - g.before)::bigint) END AS take
                 FROM (SELECT *, taskrow.mask_size(mask) AS size,
                              sum(taskrow.mask_size(mask)) OVER (ORDER BY rank, seq, attempt) - taskrow.mask_size(mask) AS before
                       FROM gone) AS g),
             rest AS (
                 INSERT INTO taskrow.ready (queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch, mask, ready_at)
                 SELECT queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch, mask & ~take, ready_at
                 FROM taken WHERE mask <> take),
             leased AS (
                 INSERT INTO taskrow.leases (worker, queue, kind, rank, seq, attempt, crashes, max_attempts, timeout_ms, batch, mask)
                 SELECT $1, queue, kind, rank, seq, attempt + 1, crashes, max_attempts, timeout_ms, batch, take
                 FROM taken WHERE take <> 0
                 RETURNING *)
             SELECT l.id, l.queue, l.kind, l.attempt, l.max_attempts, l.timeout_ms, l.rank, l.seq,
                    extract(epoch FROM l.claimed_at - w.ready_at)::double precision, r.id, r.payload::text",
            $more,
            " FROM leased l
             JOIN taken w ON w.seq = l.seq AND w.attempt = l.attempt - 1
             CROSS JOIN LATERAL (
                 SELECT id, payload FROM taskrow.records WHERE id BETWEEN l.batch AND taskrow.batch_task(l.batch, 63)) AS r
             WHERE l.mask & taskrow.task_bit(r.id) <> 0"
        )
    };
}

statement! {
    /// - `segments`: the parts of lanes to scan (see [`Floors`]) that hold anything, most urgent first, without paused queues.
    /// - `picked`: at most `rows` rows are locked: the outer LIMIT stops the nested loop, which locks row by row. (A plain
    ///   `WHERE .. IN (SELECT .. LIMIT n FOR UPDATE SKIP LOCKED)` can be planned so that it locks more.)
    struct ClaimLanes<'a> -> TaskColumns {
        worker: i64 => BigInt,
        tasks: i64 => BigInt,
        rows: i64 => BigInt,
        queues: &'a [&'a str] => Array<Text>,
        kinds: &'a [&'a str] => Array<Text>,
        from_ranks: &'a [i16] => Array<SmallInt>,
        from_seqs: &'a [i64] => Array<BigInt>,
        to_ranks: &'a [i16] => Array<SmallInt>,
    }
    claim_sql!(
        "segments AS MATERIALIZED (
             SELECT s.queue, s.kind, s.from_rank, s.from_seq, s.to_rank, s.nth, head.rank
             FROM me
             CROSS JOIN unnest($4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::smallint[])
                  WITH ORDINALITY AS s(queue, kind, from_rank, from_seq, to_rank, nth)
             CROSS JOIN LATERAL (
                 SELECT r.rank FROM taskrow.ready r
                 WHERE r.queue = s.queue AND r.kind = s.kind AND (r.rank, r.seq) >= (s.from_rank, s.from_seq) AND r.rank < s.to_rank
                 ORDER BY r.rank, r.seq LIMIT 1) AS head
             WHERE NOT EXISTS (SELECT FROM taskrow.queues q WHERE q.name = s.queue AND q.paused_at IS NOT NULL)
             ORDER BY head.rank, s.nth),
         picked AS MATERIALIZED (
             SELECT p.ctid, sum(p.size) OVER (ORDER BY p.rank, p.seq, p.attempt) - p.size AS before
             FROM (SELECT r.ctid, r.rank, r.seq, r.attempt, r.size
                   FROM segments s
                   CROSS JOIN LATERAL (
                       SELECT r.ctid, r.rank, r.seq, r.attempt, taskrow.mask_size(r.mask) AS size FROM taskrow.ready r
                       WHERE r.queue = s.queue AND r.kind = s.kind AND (r.rank, r.seq) >= (s.from_rank, s.from_seq) AND r.rank < s.to_rank
                       ORDER BY r.rank, r.seq LIMIT $3 FOR UPDATE SKIP LOCKED) AS r
                   LIMIT $3) AS p)",
        ""
    )
}

statement! {
    /// - `picked`: the rows of these batches, if any are left, in these lanes only, and not in paused queues. A batch has several rows
    ///   when parts of it burnt different numbers of attempts.
    ///   (`OFFSET 0` keeps the lanes a filter. As a join they make a plan for an empty table walk through whole lanes for each batch.)
    /// - The last column: batches of which something stays although it could have been claimed, for want of room.
    struct ClaimBatches<'a> -> (TaskColumns, Array<SqlUuid>) {
        worker: i64 => BigInt,
        tasks: i64 => BigInt,
        batches: &'a [Uuid] => Array<SqlUuid>,
        queues: &'a [&'a str] => Array<Text>,
        kinds: &'a [&'a str] => Array<Text>,
    }
    claim_sql!(
        "picked AS MATERIALIZED (
             SELECT p.ctid, p.batch, p.size, sum(p.size) OVER (ORDER BY p.rank, p.seq, p.attempt) - p.size AS before
             FROM me
             CROSS JOIN unnest($3::uuid[]) AS b(batch)
             CROSS JOIN LATERAL (
                 SELECT r.ctid, r.batch, r.rank, r.seq, r.attempt, taskrow.mask_size(r.mask) AS size FROM taskrow.ready r
                 WHERE r.batch = b.batch
                   AND EXISTS (SELECT FROM unnest($4::text[], $5::text[]) AS l(queue, kind) WHERE l.queue = r.queue AND l.kind = r.kind OFFSET 0)
                   AND NOT EXISTS (SELECT FROM taskrow.queues q WHERE q.name = r.queue AND q.paused_at IS NOT NULL)
                 FOR UPDATE OF r SKIP LOCKED) AS p)",
        ", ARRAY(SELECT DISTINCT batch FROM picked WHERE before + size > $2)"
    )
}

/// Names a lease. Only together with its worker and batch does it give rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A task that this worker may run now.
#[derive(Debug)]
pub struct Claimed {
    /// The lease it is part of.
    pub lease: LeaseId,
    /// The task.
    pub id: TaskId,
    /// Its queue and kind.
    pub lane: Lane,
    /// Claims burnt, this one included.
    pub attempt: i16,
    /// The most it may burn.
    pub max_attempts: i16,
    /// Longest run.
    pub timeout: Duration,
    /// How long it waited to be claimed.
    pub waited: Duration,
    /// What was submitted.
    pub payload: Json,
}

#[derive(Queryable)]
struct Row {
    lease: i64,
    queue: String,
    kind: String,
    attempt: i16,
    max_attempts: i16,
    timeout_ms: i32,
    rank: i16,
    seq: i64,
    waited_s: f64,
    id: Uuid,
    payload: String,
}

impl Row {
    fn claimed(self, lanes: &[Lane]) -> Claimed {
        let is_of = |lane: &&Lane| lane.queue.as_str() == self.queue && lane.kind.as_str() == self.kind;
        Claimed {
            lease: LeaseId(self.lease),
            id: TaskId::from_uuid(self.id),
            lane: lanes.iter().find(is_of).expect("only the lanes asked for are claimed").clone(),
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            timeout: Duration::from_millis(self.timeout_ms.unsigned_abs().into()),
            waited: Duration::try_from_secs_f64(self.waited_s).unwrap_or_default(),
            payload: Json::from_database(self.payload),
        }
    }
}

/// Claims up to `tasks` tasks of the segments, locking at most `rows` batches. Tells `floors` what it saw.
///
/// An empty answer means that nothing can be claimed *below no floor*, if `floors` are clear; see [`Floors::are_clear`].
pub async fn claim(
    connection: &mut AsyncPgConnection,
    worker: WorkerId,
    tasks: usize,
    rows: usize,
    lanes: &[Lane],
    floors: &mut Floors,
) -> QueryResult<Vec<Claimed>> {
    let segments = floors.segments(lanes);
    let statement = ClaimLanes {
        worker: worker.0,
        tasks: tasks as i64,
        rows: rows as i64,
        queues: &segments.iter().map(|segment| segment.lane.queue.as_str()).collect::<Vec<_>>(),
        kinds: &segments.iter().map(|segment| segment.lane.kind.as_str()).collect::<Vec<_>>(),
        from_ranks: &segments.iter().map(|segment| segment.from.0).collect::<Vec<_>>(),
        from_seqs: &segments.iter().map(|segment| segment.from.1).collect::<Vec<_>>(),
        to_ranks: &segments.iter().map(|segment| segment.to_rank).collect::<Vec<_>>(),
    };
    let rows: Vec<Row> = statement.load(connection).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    let mut lowest: BTreeMap<(Lane, i16), i64> = BTreeMap::new();
    for row in rows {
        let (rank, seq) = (row.rank, row.seq);
        let task = row.claimed(lanes);
        lowest.entry((task.lane.clone(), rank)).and_modify(|lowest| *lowest = seq.min(*lowest)).or_insert(seq);
        claimed.push(task);
    }
    for ((lane, rank), seq) in lowest {
        floors.saw(lane, rank, seq);
    }
    Ok(claimed)
}

/// What [`claim_batches`] found.
#[derive(Debug, Default)]
pub struct ClaimedBatches {
    /// What this worker may run now.
    pub tasks: Vec<Claimed>,
    /// The batches of which tasks are left that did not fit, whole or in part.
    pub left: Vec<BatchId>,
}

/// Claims up to `tasks` tasks out of these batches. A batch of which nothing is ready any more, or that is in none of the lanes or in a
/// paused queue, is passed over: somebody else took it, or will.
pub async fn claim_batches(
    connection: &mut AsyncPgConnection,
    worker: WorkerId,
    tasks: usize,
    batches: &BTreeSet<BatchId>,
    lanes: &[Lane],
) -> QueryResult<ClaimedBatches> {
    let statement = ClaimBatches {
        worker: worker.0,
        tasks: tasks as i64,
        batches: &batches.iter().map(|batch| batch.uuid()).collect::<Vec<_>>(),
        queues: &lanes.iter().map(|lane| lane.queue.as_str()).collect::<Vec<_>>(),
        kinds: &lanes.iter().map(|lane| lane.kind.as_str()).collect::<Vec<_>>(),
    };
    let mut claimed = ClaimedBatches::default();
    let rows: Vec<(Row, Vec<Uuid>)> = statement.load(connection).await?;
    for (row, left) in rows {
        if claimed.tasks.is_empty() {
            claimed.left = left.into_iter().map(BatchId::from_uuid).collect();
        }
        claimed.tasks.push(row.claimed(lanes));
    }
    Ok(claimed)
}

statement! {
    struct FindHeld -> (BigInt, Text, Text, SqlUuid, BigInt) { worker: i64 => BigInt }
    "SELECT id, queue, kind, batch, mask FROM taskrow.leases WHERE worker = $1"
}

/// A lease as the database has it.
#[derive(Debug)]
pub struct HeldLease {
    /// The lease.
    pub id: LeaseId,
    /// Queue and kind of its tasks.
    pub lane: Lane,
    /// Its open tasks.
    pub tasks: Vec<TaskId>,
}

/// The leases of a worker. A claim whose answer was lost may have committed, and nobody else would ever learn of its leases.
pub async fn held(connection: &mut AsyncPgConnection, worker: WorkerId) -> QueryResult<Vec<HeldLease>> {
    let rows: Vec<(i64, String, String, Uuid, i64)> = FindHeld { worker: worker.0 }.load(connection).await?;
    let lease = |(id, queue, kind, batch, mask): (i64, String, String, Uuid, i64)| {
        let lane = Lane { queue: Name::new(queue).ok()?, kind: Name::new(kind).ok()? };
        let tasks = BatchId::from_uuid(batch).tasks(Mask::from_sql(mask)).collect();
        Some(HeldLease { id: LeaseId(id), lane, tasks })
    };
    Ok(rows.into_iter().filter_map(lease).collect())
}

/// Where live rows start, so that claims do not walk over the dead index entries before them.
///
/// While a snapshot somewhere is held, deleted rows stay in the index: with 190,000 of them a claim that starts from the front takes
/// 14 to 18 ms, and one that starts at the floor 0.2 ms. A floor is per lane and rank, so a more urgent task is never below one.
///
/// A row *can* turn up below what was claimed: its transaction took its number early and committed late, as those of two submitters
/// that commit at the same time do all the time, or tasks were given back. So a floor follows at a distance: what claims saw becomes
/// one at the next [`settle`](Self::settle), which the owner calls every so often, longer than commits take as a rule. And floors must
/// be lifted ([`Floors::clear`]) every second or so, for what came later still; an empty claim above floors proves nothing.
#[derive(Debug, Default)]
pub struct Floors {
    by_lane: BTreeMap<Lane, BTreeMap<i16, Floor>>,
}

/// Of one lane and rank.
#[derive(Debug, Default)]
struct Floor {
    /// Where claims start, and whether they do: not until one has been there from the front again.
    at: Option<i64>,
    is_lifted: bool,
    /// The lowest that was claimed since floors were settled.
    next: Option<i64>,
}

/// One range of a lane: from (rank, seq) on, up to but without `to_rank`.
#[derive(Debug, PartialEq, Eq)]
struct Segment<'a> {
    lane: &'a Lane,
    from: (i16, i64),
    to_rank: i16,
}

impl Floor {
    /// What is below it, if anything.
    fn seq(&self) -> Option<i64> {
        self.at.filter(|_| !self.is_lifted)
    }
}

impl Floors {
    /// Most ranks remembered per lane; each costs a claim one index probe more.
    const RANKS_LIMIT: usize = 8;

    /// Lifts all floors: each lane is scanned from the front until something is found in it. Those under which nothing was found since
    /// the last time are forgotten.
    pub fn clear(&mut self) {
        for ranks in self.by_lane.values_mut() {
            ranks.retain(|_, floor| !floor.is_lifted);
        }
        for floor in self.floors_mut() {
            (floor.is_lifted, floor.next) = (true, None);
        }
    }

    /// Whether the next claim scans from the front.
    pub fn are_clear(&self) -> bool {
        self.by_lane.values().flat_map(BTreeMap::values).all(|floor| floor.seq().is_none())
    }

    /// Raises floors to what was lowest since this was last called.
    pub fn settle(&mut self) {
        for floor in self.floors_mut() {
            if let Some(next) = floor.next.take() {
                (floor.at, floor.is_lifted) = (Some(next), false);
            }
        }
    }

    fn floors_mut(&mut self) -> impl Iterator<Item = &mut Floor> {
        self.by_lane.values_mut().flat_map(BTreeMap::values_mut)
    }

    /// A claim took this as the lowest of its lane and rank.
    fn saw(&mut self, lane: Lane, rank: i16, seq: i64) {
        let ranks = self.by_lane.entry(lane).or_default();
        if ranks.len() < Self::RANKS_LIMIT || ranks.contains_key(&rank) {
            let floor = ranks.entry(rank).or_default();
            // Where one row turned up below, there may be more.
            floor.at = floor.at.map(|at| at.min(seq));
            floor.is_lifted = false;
            floor.next = Some(floor.next.map_or(seq, |next| next.min(seq)));
        }
    }

    /// Everything of the lanes but what is below a floor, in order.
    fn segments<'a>(&self, lanes: &'a [Lane]) -> Vec<Segment<'a>> {
        let mut segments = Vec::new();
        for lane in lanes {
            let mut from = (i16::MIN, i64::MIN);
            let floors = self.by_lane.get(lane).into_iter().flatten();
            for (rank, seq) in floors.filter_map(|(&rank, floor)| Some((rank, floor.seq()?))) {
                segments.push(Segment { lane, from, to_rank: rank });
                from = (rank, seq);
            }
            segments.push(Segment { lane, from, to_rank: i16::MAX });
        }
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_cut_out_only_what_is_below_them() {
        let lane = Lane { queue: Name::new("q").unwrap(), kind: Name::new("k").unwrap() };
        let lanes = [lane.clone()];
        let mut floors = Floors::default();
        let front = Segment { lane: &lanes[0], from: (i16::MIN, i64::MIN), to_rank: i16::MAX };
        assert_eq!(floors.segments(&lanes), [front]);
        floors.saw(lane.clone(), 0, 70);
        floors.saw(lane.clone(), -5, 30);
        assert!(floors.are_clear(), "what was just seen is no floor yet");
        floors.settle();
        let parts = |floors: &Floors| -> Vec<_> {
            floors.segments(&lanes).iter().map(|segment| (segment.from, segment.to_rank)).collect()
        };
        let whole = (i16::MIN, i64::MIN);
        assert_eq!(parts(&floors), [(whole, -5), ((-5, 30), 0), ((0, 70), i16::MAX)]);
        // A claim that starts from the front again finds what was below, or nothing below.
        floors.clear();
        assert!(floors.are_clear());
        floors.saw(lane.clone(), -5, 20);
        floors.saw(lane.clone(), 0, 90);
        assert_eq!(parts(&floors), [(whole, -5), ((-5, 20), 0), ((0, 70), i16::MAX)]);
        floors.saw(lane.clone(), -5, 40);
        floors.settle();
        assert_eq!(parts(&floors), [(whole, -5), ((-5, 20), 0), ((0, 90), i16::MAX)]);
        floors.clear();
        assert!(floors.are_clear());
    }
}
