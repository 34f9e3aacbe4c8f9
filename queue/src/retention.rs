//! Dropping old tasks: whole days at once, and only days on which nothing is open.

use std::time::Duration;

use chrono::NaiveDate;
use diesel::{
    QueryResult, QueryableByName, sql_query,
    sql_types::{BigInt, Bool, Double},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use schema::partitions::{self, Tries};
use serde::Serialize;
use tracing::warn;

use crate::{callbacks, keyed, worker_names};

/// Tasks deleted in one statement from the default partition.
const DEFAULT_PAGE: i64 = 5000;

/// What a clean-up did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// Partitions made ahead.
    pub partitions_made: usize,
    /// Days dropped.
    pub days_dropped: Vec<NaiveDate>,
    /// Days old enough, but kept: a task is still open, or ended less than the retention ago, or somebody reads for so long that
    /// the partitions could not be locked.
    pub days_kept: Vec<NaiveDate>,
    /// Tasks deleted one by one from the default partition.
    pub default_deleted: usize,
    /// Reports of tasks that are long gone.
    pub progress_deleted: usize,
    /// Names of workers whose attempts are all gone.
    pub worker_names_deleted: usize,
    /// Idempotency keys that had expired.
    pub idempotency_keys_deleted: usize,
    /// Unique keys whose holder had ended.
    pub unique_keys_deleted: usize,
    /// Callbacks of tasks that are gone.
    pub callbacks_deleted: usize,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    answer: bool,
}

#[derive(QueryableByName)]
struct Deleted {
    #[diesel(sql_type = BigInt)]
    deleted: i64,
}

/// Makes partitions for the next `days_ahead` days and drops what ended longer than `retention` ago. Never drops an open task.
pub async fn clean_up(
    connection: &mut AsyncPgConnection,
    retention: Duration,
    days_ahead: u32,
) -> QueryResult<Cleaned> {
    let mut cleaned = Cleaned {
        partitions_made: partitions::create_ahead(connection, days_ahead).await?.len(),
        ..Cleaned::default()
    };
    let today = partitions::today(connection).await?;
    for day in partitions::days(connection).await? {
        // The whole day must be older than the retention, so its *end* counts.
        if day >= today || !is_older(connection, day, retention).await? {
            continue;
        }
        if !ended_lately(connection, day, retention).await? && drop_if_final(connection, day).await? {
            cleaned.days_dropped.push(day);
        } else {
            cleaned.days_kept.push(day);
        }
    }
    cleaned.default_deleted = delete_from_default(connection, retention).await?;
    cleaned.progress_deleted =
        sql_query("DELETE FROM taskrow.progress WHERE updated_at < clock_timestamp() - $1 * interval '1 second'")
            .bind::<Double, _>(retention.as_secs_f64())
            .execute(connection)
            .await?;
    let oldest_day = partitions::days(connection).await?.into_iter().next();
    cleaned.worker_names_deleted = worker_names::forget(connection, retention, oldest_day).await?;
    let keys = keyed::clean_up(connection).await?;
    (cleaned.idempotency_keys_deleted, cleaned.unique_keys_deleted) = (keys.idempotency_keys, keys.unique_keys);
    cleaned.callbacks_deleted = callbacks::forget(connection).await?;
    Ok(cleaned)
}

async fn is_older(connection: &mut AsyncPgConnection, day: NaiveDate, retention: Duration) -> QueryResult<bool> {
    ask(connection, &format!("SELECT ('{day}'::timestamp AT TIME ZONE 'UTC') + interval '1 day' < clock_timestamp() - $1 * interval '1 second' AS answer"), retention).await
}

/// A task submitted long ago may have ended yesterday. Reads the day's outcomes, before any lock is taken. (By the parent, and its bounds: who
/// may read that need not have rights on each partition.)
async fn ended_lately(connection: &mut AsyncPgConnection, day: NaiveDate, retention: Duration) -> QueryResult<bool> {
    let (from, to) = partitions::bounds(day);
    ask(connection, &format!("SELECT EXISTS (SELECT FROM taskrow.outcomes WHERE task_id >= '{from}' AND task_id < '{to}' AND finished_at > clock_timestamp() - $1 * interval '1 second') AS answer"), retention).await
}

async fn ask(connection: &mut AsyncPgConnection, question: &str, retention: Duration) -> QueryResult<bool> {
    let row: Answer = sql_query(question).bind::<Double, _>(retention.as_secs_f64()).get_result(connection).await?;
    Ok(row.answer)
}

/// Drops a day's partitions if nothing of the day is open. Looks before anything is locked; `taskrow.drop_day` locks, and looks again: a
/// retry by hand that is under way holds its own locks until it has committed, and then its task is seen as open.
async fn drop_if_final(connection: &mut AsyncPgConnection, day: NaiveDate) -> QueryResult<bool> {
    if has_open(connection, day).await? {
        return Ok(false);
    }
    let mut tries = Tries::default();
    loop {
        let result = connection
            .transaction(async |connection| {
                partitions::give_way(connection).await?;
                partitions::drop_day(connection, day).await
            })
            .await;
        match result {
            Err(error) if tries.again(&error).await => {}
            Err(error) if partitions::is_lock_failure(&error) => {
                warn!(%error, %day, "cannot drop a day now");
                return Ok(false);
            }
            result => return result,
        }
    }
}

async fn has_open(connection: &mut AsyncPgConnection, day: NaiveDate) -> QueryResult<bool> {
    let (from, to) = partitions::bounds(day);
    let open: Answer = sql_query(format!(
        "SELECT EXISTS (SELECT FROM taskrow.ready WHERE batch >= '{from}' AND batch < '{to}')
             OR EXISTS (SELECT FROM taskrow.leases WHERE batch >= '{from}' AND batch < '{to}')
             OR EXISTS (SELECT FROM taskrow.scheduled WHERE batch >= '{from}' AND batch < '{to}') AS answer"
    ))
    .get_result(connection)
    .await?;
    Ok(open.answer)
}

/// Final tasks of the default partition go one by one; there should be none. All of such a task is in the default partitions: a day is made
/// in all tables or in none.
async fn delete_from_default(connection: &mut AsyncPgConnection, retention: Duration) -> QueryResult<usize> {
    let mut total = 0;
    loop {
        let row: Deleted = sql_query(
            "WITH old AS MATERIALIZED (
                 SELECT o.task_id FROM taskrow.outcomes_default o
                 WHERE o.finished_at < clock_timestamp() - $1 * interval '1 second' LIMIT $2 FOR UPDATE SKIP LOCKED),
             records AS (DELETE FROM taskrow.records_default r USING old WHERE r.id = old.task_id),
             failures AS (DELETE FROM taskrow.failures_default f USING old WHERE f.task_id = old.task_id),
             outcomes AS (DELETE FROM taskrow.outcomes_default o USING old WHERE o.task_id = old.task_id RETURNING 1)
             SELECT count(*) AS deleted FROM outcomes",
        )
        .bind::<Double, _>(retention.as_secs_f64())
        .bind::<BigInt, _>(DEFAULT_PAGE)
        .get_result(connection)
        .await?;
        total += row.deleted.unsigned_abs() as usize;
        if row.deleted < DEFAULT_PAGE {
            return Ok(total);
        }
    }
}
