//! Names and releases of workers, kept when the worker is gone: who made an attempt. [`register`](crate::workers::register) writes them.

use std::{collections::HashMap, time::Duration};

use chrono::NaiveDate;
use diesel::{
    QueryResult, sql_query,
    sql_types::{Array, BigInt, Date, Double, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::statement::statement;

/// A worker's name and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerName {
    /// The pod's or host's name.
    pub name: String,
    /// Its release.
    pub version: String,
}

statement! {
    /// A worker of release 0.9.0 that registered on this schema stands in the list of workers only.
    struct Names<'a> -> (BigInt, Text, Text) { ids: &'a [i64] => Array<BigInt> }
    "SELECT asked.id, known.name, known.version
     FROM unnest($1) AS asked (id)
     CROSS JOIN LATERAL (
         SELECT name, version FROM taskrow.worker_names n WHERE n.id = asked.id
         UNION ALL
         SELECT name, version FROM taskrow.workers w WHERE w.id = asked.id
         LIMIT 1) AS known"
}

/// What is known of these workers, by id.
pub(crate) async fn names(connection: &mut AsyncPgConnection, ids: &[i64]) -> QueryResult<HashMap<i64, WorkerName>> {
    let rows: Vec<(i64, String, String)> = Names { ids }.load(connection).await?;
    Ok(rows.into_iter().map(|(id, name, version)| (id, WorkerName { name, version })).collect())
}

/// Removes the names that no kept attempt can refer to; returns how many.
///
/// A worker leaves its list when it holds no lease any more, so its attempts are of tasks that were submitted before: on a day that
/// is dropped once `oldest_day` is a later one, or in the default partition, which keeps what ended within `retention`.
pub(crate) async fn forget(
    connection: &mut AsyncPgConnection,
    retention: Duration,
    oldest_day: Option<NaiveDate>,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE taskrow.worker_names n SET gone_at = clock_timestamp()
         WHERE gone_at IS NULL AND NOT EXISTS (SELECT FROM taskrow.workers w WHERE w.id = n.id)",
    )
    .execute(connection)
    .await?;
    sql_query(
        "DELETE FROM taskrow.worker_names
         WHERE gone_at < least(clock_timestamp() - $1 * interval '1 second', $2::timestamp AT TIME ZONE 'UTC')",
    )
    .bind::<Double, _>(retention.as_secs_f64())
    .bind::<Nullable<Date>, _>(oldest_day)
    .execute(connection)
    .await
}
