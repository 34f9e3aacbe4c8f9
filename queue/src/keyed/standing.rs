//! Where tasks stand, many at once and without their payloads.

use std::{collections::HashMap, str::FromStr};

use diesel::{
    QueryResult,
    sql_types::{Array, Integer, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{id::TaskId, statement::statement, task::Status};

statement! {
    /// Planned as [`crate::inspect`] has it: an id after the other, by index, in its own day.
    struct Stand<'a> -> (SqlUuid, SmallInt, SmallInt, Integer, Text) { ids: &'a [Uuid] => Array<SqlUuid>, first: Uuid => SqlUuid, last: Uuid => SqlUuid }
    "SELECT asked.id, r.priority, r.max_attempts, r.timeout_ms,
            CASE WHEN o.status = 1 THEN 'done' WHEN o.status = 2 THEN 'failed' WHEN o.status = 3 THEN 'cancelled'
                 WHEN EXISTS (SELECT FROM taskrow.leases x
                              WHERE x.batch = taskrow.task_batch(asked.id) AND x.mask & taskrow.task_bit(asked.id) <> 0) THEN 'processing'
                 WHEN EXISTS (SELECT FROM taskrow.scheduled x
                              WHERE x.batch = taskrow.task_batch(asked.id) AND x.mask & taskrow.task_bit(asked.id) <> 0) THEN 'scheduled'
                 ELSE 'queued' END
     FROM unnest($1) AS asked (id)
     CROSS JOIN LATERAL (
         SELECT x.priority, x.max_attempts, x.timeout_ms FROM taskrow.records x
         WHERE x.id = asked.id AND x.id BETWEEN $2 AND $3 LIMIT 1) r
     LEFT JOIN LATERAL (
         SELECT x.status FROM taskrow.outcomes x WHERE x.task_id = asked.id AND x.task_id BETWEEN $2 AND $3 LIMIT 1) o ON true"
}

/// A task as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) status: Status,
    pub(super) priority: i16,
    pub(super) max_attempts: i16,
    pub(super) timeout_ms: i32,
}

/// Looks at tasks, by one snapshot. Those that were never stored, or that retention has removed, are not in the answer.
pub(super) async fn find(
    connection: &mut AsyncPgConnection,
    ids: impl IntoIterator<Item = TaskId>,
) -> QueryResult<HashMap<TaskId, Standing>> {
    let ids: Vec<Uuid> = ids.into_iter().map(TaskId::uuid).collect();
    let (Some(first), Some(last)) = (ids.iter().min().copied(), ids.iter().max().copied()) else {
        return Ok(HashMap::new());
    };
    let rows: Vec<(Uuid, i16, i16, i32, String)> = Stand { ids: &ids, first, last }.load(connection).await?;
    let standing = |(id, priority, max_attempts, timeout_ms, status): (Uuid, i16, i16, i32, String)| {
        let status = Status::from_str(&status).expect("the statement names states only");
        (TaskId::from_uuid(id), Standing { status, priority, max_attempts, timeout_ms })
    };
    Ok(rows.into_iter().map(standing).collect())
}
