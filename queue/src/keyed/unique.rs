//! The rows of `unique_keys` and `keyed_tasks`.

use std::collections::HashMap;

use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{Array, Bool, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::key::UniqueKey;
use crate::{
    id::TaskId,
    statement::statement,
    task::{Lane, Name},
};

statement! {
    /// Locks the keys' rows, making those that are missing, and tells who holds them in their newest versions. In the order of the keys, so
    /// that two of these cannot wait for each other. Nothing is known from this statement about the holders' state: its snapshot may be
    /// older than what it waited for. Whoever holds the lock looks in a statement of its own.
    struct Lock<'a> -> (Text, Text, Text, SqlUuid) {
        queues: &'a [&'a str] => Array<Text>,
        kinds: &'a [&'a str] => Array<Text>,
        keys: &'a [&'a str] => Array<Text>,
        ids: &'a [Uuid] => Array<SqlUuid>,
    }
    "INSERT INTO taskrow.unique_keys AS k (queue, kind, key, task_id)
     SELECT g.queue, g.kind, g.key, g.id FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) AS g(queue, kind, key, id)
     ORDER BY g.queue, g.kind, g.key
     ON CONFLICT (queue, kind, key) DO UPDATE SET task_id = k.task_id
     RETURNING k.queue, k.kind, k.key, k.task_id"
}

statement! {
    /// The rows are locked by this transaction. A retry by hand gives a task its key again, so it may be in `keyed_tasks` already.
    struct Give<'a> -> (Bool,) {
        queues: &'a [&'a str] => Array<Text>,
        kinds: &'a [&'a str] => Array<Text>,
        keys: &'a [&'a str] => Array<Text>,
        ids: &'a [Uuid] => Array<SqlUuid>,
    }
    "WITH given AS MATERIALIZED (
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) AS g(queue, kind, key, id)),
     named AS (
         INSERT INTO taskrow.keyed_tasks (task_id, key) SELECT id, key FROM given ON CONFLICT (task_id) DO NOTHING)
     UPDATE taskrow.unique_keys k SET task_id = g.id FROM given g
     WHERE k.queue = g.queue AND k.kind = g.kind AND k.key = g.key AND k.task_id <> g.id
     RETURNING true"
}

statement! {
    struct FindKey -> (Text, Text, Text) { id: Uuid => SqlUuid }
    "SELECT r.queue, r.kind, k.key FROM taskrow.keyed_tasks k
     CROSS JOIN LATERAL (SELECT x.queue, x.kind FROM taskrow.records x WHERE x.id = k.task_id AND x.id = $1 LIMIT 1) AS r
     WHERE k.task_id = $1"
}

/// A task, and the key it wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) lane: &'a Lane,
    pub(crate) key: &'a UniqueKey,
    pub(crate) task: TaskId,
}

/// Locks the keys until the end of the transaction and tells the holder of each, in the order given. A key without a row is given to the task
/// that wants it. The keys must differ.
pub(crate) async fn lock(connection: &mut AsyncPgConnection, wanted: &[Wanted<'_>]) -> QueryResult<Vec<TaskId>> {
    let statement = Lock {
        queues: &wanted.iter().map(|wanted| wanted.lane.queue.as_str()).collect::<Vec<_>>(),
        kinds: &wanted.iter().map(|wanted| wanted.lane.kind.as_str()).collect::<Vec<_>>(),
        keys: &wanted.iter().map(|wanted| wanted.key.as_str()).collect::<Vec<_>>(),
        ids: &wanted.iter().map(|wanted| wanted.task.uuid()).collect::<Vec<_>>(),
    };
    let rows: Vec<(String, String, String, Uuid)> = statement.load(connection).await?;
    let holders: HashMap<_, _> = rows.iter().map(|(q, k, key, id)| ((&**q, &**k, &**key), *id)).collect();
    let of = |wanted: &Wanted<'_>| {
        let name = (wanted.lane.queue.as_str(), wanted.lane.kind.as_str(), wanted.key.as_str());
        TaskId::from_uuid(*holders.get(&name).expect("each key is inserted or updated"))
    };
    Ok(wanted.iter().map(of).collect())
}

/// Gives locked keys to the tasks that want them.
pub(crate) async fn give(connection: &mut AsyncPgConnection, wanted: &[Wanted<'_>]) -> QueryResult<()> {
    let statement = Give {
        queues: &wanted.iter().map(|wanted| wanted.lane.queue.as_str()).collect::<Vec<_>>(),
        kinds: &wanted.iter().map(|wanted| wanted.lane.kind.as_str()).collect::<Vec<_>>(),
        keys: &wanted.iter().map(|wanted| wanted.key.as_str()).collect::<Vec<_>>(),
        ids: &wanted.iter().map(|wanted| wanted.task.uuid()).collect::<Vec<_>>(),
    };
    statement.load::<(bool,)>(connection).await.map(drop)
}

/// The key that a task was submitted with, and its lane.
pub(crate) async fn key_of(connection: &mut AsyncPgConnection, task: TaskId) -> QueryResult<Option<(Lane, UniqueKey)>> {
    let found: Option<(String, String, String)> =
        FindKey { id: task.uuid() }.get_result(connection).await.optional()?;
    Ok(found.and_then(|(queue, kind, key)| {
        let lane = Lane { queue: Name::new(queue).ok()?, kind: Name::new(kind).ok()? };
        Some((lane, UniqueKey::new(key).ok()?))
    }))
}
