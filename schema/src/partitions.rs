//! Day partitions of the insert-only tables.
//!
//! A task id is a UUIDv7, its first 48 bits are milliseconds since 1970: a day is a range of ids. Partitions are made ahead; what
//! falls outside of all of them lands in the default partition and is found there just the same.
//!
//! Tables are made and dropped by functions of the schema, with their owner's rights: a worker's role needs none
//! (`migrations/2026-11-30-000006_partitions_by_function/up.sql`).

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
/// The most, as `taskrow.make_day` has it.
pub const MOST_DAYS_AHEAD: u32 = 366;

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

/// What a function of the schema did, or why not: see its comment.
#[derive(QueryableByName)]
struct Did {
    #[diesel(sql_type = Bool)]
    did: bool,
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

/// Drops all partitions of a day that is over; false, and nothing is dropped, while a task of it is open. To be called in a transaction that
/// [gives way](give_way).
pub async fn drop_day(connection: &mut AsyncPgConnection, day: NaiveDate) -> QueryResult<bool> {
    call(connection, "SELECT taskrow.drop_day($1) AS did", day).await
}

/// Begins a transaction that locks whole tables: bounds its waits. When one ends by that, [`Tries`] tells whether to try again.
pub async fn give_way(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    connection.batch_execute(TIMEOUTS).await
}

/// Keeps makers of partitions out until the end of the transaction: by the lock that `taskrow.make_day` takes, "partn" as bytes.
pub(crate) async fn lock_makers(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    connection.batch_execute(&format!("SELECT pg_advisory_xact_lock({})", i64::from_be_bytes(*b"\0\0\0partn"))).await
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
                call(connection, "SELECT taskrow.make_day($1) AS did", day).await
            })
            .await;
        match result {
            Ok(true) => return Ok(PARENTS.map(|(parent, _)| name(parent, day)).to_vec()),
            // Somebody else did, or the day's first rows came between the look into the default partition and its lock.
            Ok(false) | Err(Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)) => return Ok(Vec::new()),
            Err(error) if tries.again(&error).await => {}
            Err(error) => return Err(error),
        }
    }
}

/// Calls a function that does with its owner's rights what needs them.
async fn call(connection: &mut AsyncPgConnection, statement: &str, day: NaiveDate) -> QueryResult<bool> {
    let row: Did = sql_query(statement).bind::<Date, _>(day).get_result(connection).await?;
    Ok(row.did)
}

fn first_id(day: NaiveDate) -> Uuid {
    let millis = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    Uuid::from_u128((millis as u128) << 80)
}
