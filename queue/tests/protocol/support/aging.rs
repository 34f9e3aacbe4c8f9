//! Making tasks old: their ids, which carry the day, and their times.

use chrono::{Days, NaiveDate};
use diesel_async::AsyncPgConnection;
use queue::TaskId;
use schema::partitions;
use uuid::Uuid;

use super::sql;

const MS_PER_DAY: u128 = 24 * 3600 * 1000;

/// The id that a task would have, had it been submitted so many days earlier.
pub(crate) fn older(id: TaskId, days: u32) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(id.uuid().as_u128() - ((u128::from(days) * MS_PER_DAY) << 80)))
}

/// Everything in the database happened so many days earlier.
pub(crate) async fn age(connection: &mut AsyncPgConnection, days: u32) {
    let mut statements = format!(
        "CREATE OR REPLACE FUNCTION pg_temp.older(id uuid) RETURNS uuid LANGUAGE sql AS $$
             SELECT (lpad(to_hex(('x' || left(hex, 12))::bit(48)::bigint - {days}::bigint * 86400000), 12, '0') || substr(hex, 13))::uuid
             FROM (SELECT replace(id::text, '-', '') AS hex) AS id $$;"
    );
    for (table, id, times) in [
        ("records", "id", &["created_at"][..]),
        ("outcomes", "task_id", &["finished_at"]),
        ("failures", "task_id", &["failed_at"]),
        ("ready", "batch", &["ready_at"]),
        ("leases", "batch", &["claimed_at"]),
        ("scheduled", "batch", &["run_at"]),
        ("progress", "task_id", &["updated_at"]),
        ("unique_keys", "task_id", &[]),
        ("keyed_tasks", "task_id", &[]),
    ] {
        let times: String = times.iter().map(|time| format!(", {time} = {time} - interval '{days} days'")).collect();
        statements += &format!("UPDATE taskrow.{table} SET {id} = pg_temp.older({id}){times};");
    }
    sql::run(connection, &statements).await;
}

/// The day so many days ago, by the database's clock.
pub(crate) async fn days_ago(connection: &mut AsyncPgConnection, days: u32) -> NaiveDate {
    partitions::today(connection).await.unwrap() - Days::new(days.into())
}

/// Makes the partitions of a day, as somebody did on the day before it.
pub(crate) async fn partition(connection: &mut AsyncPgConnection, day: NaiveDate) {
    let (from, to) = partitions::bounds(day);
    for (parent, _) in partitions::PARENTS {
        let name = partitions::name(parent, day);
        let create =
            format!("CREATE TABLE taskrow.{name} PARTITION OF taskrow.{parent} FOR VALUES FROM ('{from}') TO ('{to}')");
        sql::run(connection, &create).await;
    }
}

/// Drops the partitions of today, as if nobody had made them. (No role can do that but the owner.)
pub(crate) async fn unpartition_today(connection: &mut AsyncPgConnection) {
    let today = days_ago(connection, 0).await;
    let names =
        partitions::PARENTS.map(|(parent, _)| format!("taskrow.{}", partitions::name(parent, today))).join(", ");
    sql::run(connection, &format!("DROP TABLE {names}")).await;
}
