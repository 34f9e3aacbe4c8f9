//! What running handlers report. A hint for people, kept out of the task's own tables.

use diesel::{
    QueryResult,
    sql_types::{Array, Bool, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{id::TaskId, json::Json, statement::statement};

statement! {
    struct Report<'a> -> (Bool,) {
        ids: &'a [Uuid] => Array<SqlUuid>,
        attempts: &'a [i16] => Array<SmallInt>,
        values: &'a [&'a str] => Array<Text>,
    }
    "INSERT INTO taskrow.progress (task_id, attempt, value)
     SELECT g.id, g.attempt, g.value::json FROM unnest($1::uuid[], $2::smallint[], $3::text[]) AS g(id, attempt, value) ORDER BY g.id
     ON CONFLICT (task_id) DO UPDATE SET attempt = excluded.attempt, value = excluded.value, updated_at = clock_timestamp()
     RETURNING true"
}

statement! {
    struct Forget<'a> -> (Bool,) { ids: &'a [Uuid] => Array<SqlUuid> }
    "DELETE FROM taskrow.progress WHERE task_id = ANY ($1) RETURNING true"
}

/// Stores the newest report of each task; each task at most once per call.
pub async fn report(connection: &mut AsyncPgConnection, reports: &[(TaskId, i16, Json)]) -> QueryResult<()> {
    let _: Vec<(bool,)> = Report {
        ids: &reports.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>(),
        attempts: &reports.iter().map(|(_, attempt, _)| *attempt).collect::<Vec<_>>(),
        values: &reports.iter().map(|(.., value)| value.get()).collect::<Vec<_>>(),
    }
    .load(connection)
    .await?;
    Ok(())
}

/// Removes the reports of tasks that have left their worker.
pub async fn forget(connection: &mut AsyncPgConnection, ids: &[TaskId]) -> QueryResult<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let _: Vec<(bool,)> = Forget { ids: &ids }.load(connection).await?;
    Ok(())
}
