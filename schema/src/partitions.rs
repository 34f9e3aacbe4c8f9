//! Day partitions of the insert-only tables.
//!
//! A task id is a UUIDv7, its first 48 bits are milliseconds since 1970: a day is a range of ids. Partitions are made ahead; what
//! falls outside of all of them lands in the default partition and is found there just the same.

use std::time::Duration;

use chrono::{Days, NaiveDate};
use diesel::{
    QueryResult, QueryableByName,
    result::{DatabaseErrorKind, Error},
    sql_query,
    sql_types::{Bool, Date, Text},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

/// The partitioned tables, with the column that holds the task id. A day's partitions are made and dropped together.
pub const PARENTS: [(&str, &str); 3] = [("records", "id"), ("outcomes", "task_id"), ("failures", "task_id")];

/// How many days ahead partitions are made unless told otherwise. Each costs every claim a little, so not many.
pub const DEFAULT_DAYS_AHEAD: u32 = 7;

/// Longest wait for a lock that attaching or dropping a partition needs; queries behind it wait as long. Statements take the
/// tables in different orders, so a wait can be half of a deadlock: it must end long before Postgres looks for one (after
/// `deadlock_timeout`, 1 s) and fails somebody's statement instead.
///
/// Who is frozen or cut off before its commit holds up everybody, too, until Postgres ends its transaction.
const TIMEOUTS: &str = "SET LOCAL lock_timeout = '100ms'; SET LOCAL idle_in_transaction_session_timeout = '2s'";
/// How often to try, and how long others may go on in between. Under load every other try meets a statement that has one
/// table and wants another.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Key of the lock that makers of partitions hold: "partn" as bytes.
const MAKERS_LOCK: i64 = i64::from_be_bytes(*b"\0\0\0partn");

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

/// The days that have partitions, oldest first.
pub async fn days(connection: &mut AsyncPgConnection) -> QueryResult<Vec<NaiveDate>> {
    let rows: Vec<Name> = sql_query(
        "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'taskrow.records'::regclass",
    )
    .load(connection)
    .await?;
    let mut days: Vec<_> = rows
        .iter()
        .filter_map(|row| NaiveDate::parse_from_str(row.name.strip_prefix("records_")?, "%Y%m%d").ok())
        .collect();
    days.sort_unstable();
    Ok(days)
}

/// Makes the missing partitions of today and the next `days_ahead` days; returns the names made.
///
/// A day that already has rows in a default partition is left to it, with all its tables: moving rows would hold locks for long.
pub async fn create_ahead(connection: &mut AsyncPgConnection, days_ahead: u32) -> QueryResult<Vec<String>> {
    let today = today(connection).await?;
    let existing = days(connection).await?;
    let mut made = Vec::new();
    for offset in 0..=u64::from(days_ahead) {
        let day = today + Days::new(offset);
        if !existing.contains(&day) {
            made.extend(create(connection, day).await?);
        }
    }
    Ok(made)
}

/// Drops all partitions of one day. To be called in a transaction that [gives way](give_way).
pub async fn drop_day(connection: &mut AsyncPgConnection, day: NaiveDate) -> QueryResult<()> {
    let tables = PARENTS.map(|(parent, _)| format!("taskrow.{}", name(parent, day))).join(", ");
    connection.batch_execute(&format!("DROP TABLE IF EXISTS {tables}")).await
}

/// Begins a transaction that locks whole tables: bounds its waits. When one ends by that, [`Tries`] tells whether to try again.
pub async fn give_way(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    connection.batch_execute(TIMEOUTS).await
}

/// Counts the tries of a transaction that [gives way](give_way).
#[derive(Debug, Default)]
pub struct Tries(u32);

impl Tries {
    /// Whether the transaction failed by a lock and may be tried again; then the pause is over too.
    pub async fn again(&mut self, error: &Error) -> bool {
        self.0 += 1;
        let may = is_lock_failure(error) && self.0 < LOCK_TRIES;
        if may {
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        may
    }
}

/// Lock timeouts and deadlocks have no kind of their own in diesel.
pub fn is_lock_failure(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, _))
}

async fn create(connection: &mut AsyncPgConnection, day: NaiveDate) -> QueryResult<Vec<String>> {
    let mut tries = Tries::default();
    loop {
        let result = connection
            .transaction(async |connection| {
                give_way(connection).await?;
                create_now(connection, day).await
            })
            .await;
        match result {
            // The day's first rows came between the look into the default partition and its lock.
            Err(Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)) => return Ok(Vec::new()),
            Err(error) if tries.again(&error).await => {}
            result => return result,
        }
    }
}

/// Makes the partitions of a day, all or none: a day that is partly in the default partition could be cleaned neither as a day
/// nor task by task.
async fn create_now(connection: &mut AsyncPgConnection, day: NaiveDate) -> QueryResult<Vec<String>> {
    connection.batch_execute(&format!("SELECT pg_advisory_xact_lock({MAKERS_LOCK})")).await?;
    if days(connection).await?.contains(&day) {
        return Ok(Vec::new());
    }
    for (parent, column) in PARENTS {
        if default_has_rows(connection, parent, column, day).await? {
            return Ok(Vec::new());
        }
    }
    let (from, to) = bounds(day);
    let mut statements = String::new();
    for (parent, _) in PARENTS {
        let partition = name(parent, day);
        statements += &format!(
            "CREATE TABLE taskrow.{partition} (LIKE taskrow.{parent} INCLUDING ALL); \
             COMMENT ON TABLE taskrow.{partition} IS 'Tasks of {day} (UTC, by id).'; "
        );
    }
    // ATTACH locks less than CREATE .. PARTITION OF, and comes last: all it holds up others with is the default partitions.
    for (parent, _) in PARENTS {
        let partition = name(parent, day);
        statements += &format!(
            "ALTER TABLE taskrow.{parent} ATTACH PARTITION taskrow.{partition} FOR VALUES FROM ('{from}') TO ('{to}'); "
        );
    }
    connection.batch_execute(&statements).await?;
    Ok(PARENTS.map(|(parent, _)| name(parent, day)).to_vec())
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

fn first_id(day: NaiveDate) -> Uuid {
    let millis = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    Uuid::from_u128((millis as u128) << 80)
}
