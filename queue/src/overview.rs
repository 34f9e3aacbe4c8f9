//! Queues as operators see them, and pausing them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl, QueryResult, QueryableByName,
    dsl::now,
    sql_query,
    sql_types::{Array, BigInt, Double, Float, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::tables::queues;

use crate::{
    admission::{Limits, Waiting},
    task::Name,
};

/// Pages of a hot table that are counted exactly (32 MiB of it, some 20 million tasks in full batches). A larger table is
/// sampled down to so many pages and scaled up, so that looking costs the same at any backlog.
const EXACT_PAGES: i64 = 4096;

/// One kind of task in one queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KindOverview {
    /// Waiting for a worker.
    pub queued: u64,
    /// Waiting for their time.
    pub scheduled: u64,
    /// Held by workers.
    pub processing: u64,
    /// How long the first in line has waited.
    pub oldest_wait: Option<Duration>,
    /// Live workers that take this kind from this queue.
    pub workers: u64,
}

/// One queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueOverview {
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// The only kinds it accepts, if it is strict.
    pub accepts: Option<Vec<String>>,
    /// What may wait in it before submits are refused.
    pub limits: Limits,
    /// Live workers that take from it, whatever kinds.
    pub workers: u64,
    /// Its kinds that have open tasks or live workers.
    pub kinds: BTreeMap<String, KindOverview>,
}

/// All queues that have open tasks, live workers or a setting.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// By name.
    pub queues: BTreeMap<String, QueueOverview>,
    /// True: waiting tasks were counted by a sample.
    pub is_estimate: bool,
}

impl QueueOverview {
    /// Sum over kinds.
    pub fn total(&self, of: impl Fn(&KindOverview) -> u64) -> u64 {
        self.kinds.values().map(of).sum()
    }

    /// The longest wait over kinds.
    pub fn oldest_wait(&self) -> Option<Duration> {
        self.kinds.values().filter_map(|kind| kind.oldest_wait).max()
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Text)]
    queue: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    tasks: i64,
    #[diesel(sql_type = Nullable<Double>)]
    oldest_s: Option<f64>,
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    pages: i64,
}

#[derive(QueryableByName)]
struct Takes {
    #[diesel(sql_type = Array<Text>)]
    queues: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    kinds: Vec<String>,
}

/// Counts open tasks by queue and kind. Reads the small tables only, and at most a sample of a large one.
pub async fn overview(connection: &mut AsyncPgConnection) -> QueryResult<Overview> {
    let mut overview = Overview::default();
    let (ready, ready_sampled) = count(connection, "ready", "ready_at").await?;
    let (scheduled, scheduled_sampled) = count(connection, "scheduled", "run_at").await?;
    let (leased, _) = count(connection, "leases", "claimed_at").await?;
    overview.is_estimate = ready_sampled || scheduled_sampled;
    for row in ready {
        let kind = overview.kind(row.queue, row.kind);
        kind.queued = row.tasks.unsigned_abs();
        kind.oldest_wait = row.oldest_s.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }
    for row in scheduled {
        overview.kind(row.queue, row.kind).scheduled = row.tasks.unsigned_abs();
    }
    for row in leased {
        overview.kind(row.queue, row.kind).processing = row.tasks.unsigned_abs();
    }
    let workers: Vec<Takes> = sql_query(
        "SELECT queues, kinds FROM taskrow.workers
         WHERE dead_at IS NULL AND heartbeat_at > clock_timestamp() - lease_ttl_ms * interval '1 millisecond'",
    )
    .load(connection)
    .await?;
    for worker in workers {
        for queue in worker.queues {
            for kind in worker.kinds.iter().collect::<BTreeSet<_>>() {
                overview.kind(queue.clone(), kind.clone()).workers += 1;
            }
            overview.queues.entry(queue).or_default().workers += 1;
        }
    }
    type Settings = (String, Option<DateTime<Utc>>, Option<Vec<String>>, Option<i64>, Option<i64>);
    let settings: Vec<Settings> = queues::table
        .select((queues::name, queues::paused_at, queues::kinds, queues::max_depth, queues::max_age_ms))
        .load(connection)
        .await?;
    for (name, paused_at, accepts, max_depth, max_age_ms) in settings {
        let queue = overview.queues.entry(name).or_default();
        (queue.paused_at, queue.accepts) = (paused_at, accepts);
        queue.limits = Limits::of_columns(max_depth, max_age_ms);
    }
    Ok(overview)
}

/// What waits for workers, by queue; of a large table a sample, scaled up.
pub(crate) async fn waiting(connection: &mut AsyncPgConnection) -> QueryResult<BTreeMap<String, Waiting>> {
    let mut by_queue: BTreeMap<String, Waiting> = BTreeMap::new();
    for row in count(connection, "ready", "ready_at").await?.0 {
        let queue = by_queue.entry(row.queue).or_default();
        queue.tasks += row.tasks.unsigned_abs();
        let oldest = row.oldest_s.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
        queue.oldest = queue.oldest.max(oldest);
    }
    Ok(by_queue)
}

/// Pauses a queue: nothing of it is claimed any more. Already paused: nothing changes.
pub async fn pause(connection: &mut AsyncPgConnection, queue: &Name) -> QueryResult<()> {
    diesel::insert_into(queues::table)
        .values((queues::name.eq(queue.as_str()), queues::paused_at.eq(now)))
        .on_conflict(queues::name)
        .do_update()
        .set(queues::paused_at.eq(diesel::dsl::sql::<Nullable<diesel::sql_types::Timestamptz>>(
            "coalesce(taskrow.queues.paused_at, excluded.paused_at)",
        )))
        .execute(connection)
        .await
        .map(drop)
}

/// Lets a queue run again.
pub async fn resume(connection: &mut AsyncPgConnection, queue: &Name) -> QueryResult<()> {
    diesel::update(queues::table.find(queue.as_str()))
        .set(queues::paused_at.eq(None::<DateTime<Utc>>))
        .execute(connection)
        .await
        .map(drop)
}

impl Overview {
    fn kind(&mut self, queue: String, kind: String) -> &mut KindOverview {
        self.queues.entry(queue).or_default().kinds.entry(kind).or_default()
    }
}

/// Tasks by queue and kind of one hot table, and whether they were sampled.
async fn count(connection: &mut AsyncPgConnection, table: &str, since: &str) -> QueryResult<(Vec<Count>, bool)> {
    let size: Size = sql_query(format!(
        "SELECT pg_relation_size('taskrow.{table}') / current_setting('block_size')::bigint AS pages"
    ))
    .get_result(connection)
    .await?;
    let (sample, scale) = if size.pages <= EXACT_PAGES {
        (String::new(), 1.0)
    } else {
        let share = EXACT_PAGES as f64 / size.pages as f64;
        (format!("TABLESAMPLE SYSTEM ({})", 100.0 * share), 1.0 / share)
    };
    let rows = sql_query(format!(
        "SELECT queue, kind, (sum(taskrow.mask_size(mask)) * $1)::bigint AS tasks,
                extract(epoch FROM clock_timestamp() - min({since}))::double precision AS oldest_s
         FROM taskrow.{table} {sample} GROUP BY queue, kind"
    ))
    .bind::<Float, _>(scale as f32)
    .load(connection)
    .await?;
    Ok((rows, !sample.is_empty()))
}
