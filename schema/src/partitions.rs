//! Day partitions of the insert-only tables.
//!
//! A task id is a UUIDv7, its first 48 bits are milliseconds since 1970: a day is a range of ids. Partitions are made ahead; what
//! falls outside of all of them lands in the default partition and is found there just the same.

use chrono::{Days, NaiveDate};
use diesel::{
    QueryResult, QueryableByName, sql_query,
    sql_types::{Bool, Date, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

/// The partitioned tables, with the column that holds the task id. A day's partitions are made and dropped together.
pub const PARENTS: [(&str, &str); 3] = [("records", "id"), ("outcomes", "task_id"), ("failures", "task_id")];

/// How many days ahead partitions are made unless told otherwise. Each costs every claim a little, so not many.
pub const DEFAULT_DAYS_AHEAD: u32 = 7;

/// Longest wait for the lock that attaching or dropping a partition needs; queries behind it wait as long.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '2s'";

#[derive(QueryableByName)]
struct Today {
    #[diesel(sql_type = Date)]
    today: NaiveDate,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Occupied {
    #[diesel(sql_type = Bool)]
    occupied: bool,
}

/// The first id of a day and the first id of the next one.
pub fn bounds(day: NaiveDate) -> (Uuid, Uuid) {
    (first_id(day), first_id(day + Days::new(1)))
}

/// The name of a table's partition for a day, without its schema: `records_20261122`.
pub fn name(parent: &str, day: NaiveDate) -> String {
    format!("{parent}_{}", day.format("%Y%m%d"))
}

/// The day now by the database's clock, in UTC.
pub async fn today(connection: &mut AsyncPgConnection) -> QueryResult<NaiveDate> {
    let row: Today =
        sql_query("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS today").get_result(connection).await?;
    Ok(row.today)
}

/// The days that have a partition of `records`, oldest first.
pub async fn days(connection: &mut AsyncPgConnection) -> QueryResult<Vec<NaiveDate>> {
    let mut days: Vec<_> = names(connection)
        .await?
        .iter()
        .filter_map(|name| NaiveDate::parse_from_str(name.strip_prefix("records_")?, "%Y%m%d").ok())
        .collect();
    days.sort_unstable();
    Ok(days)
}

/// Makes the missing partitions of today and the next `days_ahead` days; returns the names made.
///
/// A day that already has rows in the default partition is left to it: moving them would hold locks for long.
pub async fn create_ahead(connection: &mut AsyncPgConnection, days_ahead: u32) -> QueryResult<Vec<String>> {
    let today = today(connection).await?;
    let existing = names(connection).await?;
    let mut made = Vec::new();
    for offset in 0..=u64::from(days_ahead) {
        let day = today + Days::new(offset);
        for (parent, column) in PARENTS {
            let partition = name(parent, day);
            if existing.contains(&partition) || default_has_rows(connection, parent, column, day).await? {
                continue;
            }
            create(connection, parent, &partition, day).await?;
            made.push(partition);
        }
    }
    Ok(made)
}

/// Drops all partitions of one day.
pub async fn drop_day(connection: &mut AsyncPgConnection, day: NaiveDate) -> QueryResult<()> {
    let tables = PARENTS.map(|(parent, _)| format!("taskrow.{}", name(parent, day))).join(", ");
    connection.batch_execute(&format!("{LOCK_TIMEOUT}; DROP TABLE IF EXISTS {tables}; RESET lock_timeout")).await
}

async fn create(connection: &mut AsyncPgConnection, parent: &str, partition: &str, day: NaiveDate) -> QueryResult<()> {
    let (from, to) = bounds(day);
    // LIKE and ATTACH lock less than CREATE .. PARTITION OF: submits and reads of other days go on.
    connection
        .batch_execute(&format!(
            "{LOCK_TIMEOUT}; \
             BEGIN; \
             CREATE TABLE taskrow.{partition} (LIKE taskrow.{parent} INCLUDING ALL); \
             COMMENT ON TABLE taskrow.{partition} IS 'Tasks of {day} (UTC, by id).'; \
             ALTER TABLE taskrow.{parent} ATTACH PARTITION taskrow.{partition} FOR VALUES FROM ('{from}') TO ('{to}'); \
             COMMIT; \
             RESET lock_timeout"
        ))
        .await
}

async fn default_has_rows(
    connection: &mut AsyncPgConnection,
    parent: &str,
    column: &str,
    day: NaiveDate,
) -> QueryResult<bool> {
    let (from, to) = bounds(day);
    let row: Occupied = sql_query(format!(
        "SELECT EXISTS (SELECT FROM taskrow.{parent}_default WHERE {column} >= '{from}' AND {column} < '{to}') AS occupied"
    ))
    .get_result(connection)
    .await?;
    Ok(row.occupied)
}

async fn names(connection: &mut AsyncPgConnection) -> QueryResult<Vec<String>> {
    let rows: Vec<Name> = sql_query(
        "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent IN ('taskrow.records'::regclass, 'taskrow.outcomes'::regclass, 'taskrow.failures'::regclass)",
    )
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

fn first_id(day: NaiveDate) -> Uuid {
    let millis = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    Uuid::from_u128((millis as u128) << 80)
}
