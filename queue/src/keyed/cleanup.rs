//! Removing keys that mean nothing any more, a page at a time.

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::statement::statement;

/// Rows deleted in one statement, and so locked at once.
const PAGE: i64 = 1000;

statement! {
    /// A row that is taken over meanwhile is passed by: it is locked, or its newest version is not the one that was seen.
    struct DeleteExpired -> (Bool,) { page: i64 => BigInt }
    "DELETE FROM taskrow.idempotency_keys WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM taskrow.idempotency_keys WHERE expires_at <= (SELECT clock_timestamp())
         ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))
     RETURNING true"
}

statement! {
    /// Locks the next keys whose holder has ended, or is gone, as this snapshot shows it. Keys that somebody is about to give are passed by.
    struct LockFree<'a> -> (Text, Text, Text) {
        queue: &'a str => Text,
        kind: &'a str => Text,
        key: &'a str => Text,
        page: i64 => BigInt,
    }
    "SELECT k.queue, k.kind, k.key FROM taskrow.unique_keys k
     WHERE (k.queue, k.kind, k.key) > ($1, $2, $3)
       AND (EXISTS (SELECT FROM taskrow.outcomes o WHERE o.task_id = k.task_id)
            OR NOT EXISTS (SELECT FROM taskrow.records r WHERE r.id = k.task_id))
     ORDER BY k.queue, k.kind, k.key LIMIT $4 FOR UPDATE OF k SKIP LOCKED"
}

statement! {
    /// Looks again, by a snapshot of its own: the key may have been given, or its holder queued again, before it was locked.
    struct DeleteFree<'a> -> (Bool,) {
        queues: &'a [String] => Array<Text>,
        kinds: &'a [String] => Array<Text>,
        keys: &'a [String] => Array<Text>,
    }
    "DELETE FROM taskrow.unique_keys k USING unnest($1::text[], $2::text[], $3::text[]) AS g(queue, kind, key)
     WHERE k.queue = g.queue AND k.kind = g.kind AND k.key = g.key
       AND (EXISTS (SELECT FROM taskrow.outcomes o WHERE o.task_id = k.task_id)
            OR NOT EXISTS (SELECT FROM taskrow.records r WHERE r.id = k.task_id))
     RETURNING true"
}

statement! {
    /// A task that is done, or gone, is never queued again. Locks nothing that others wait for: nobody changes these rows.
    struct ForgetTasks -> (SqlUuid,) { after: Uuid => SqlUuid, page: i64 => BigInt }
    "DELETE FROM taskrow.keyed_tasks WHERE task_id = ANY (ARRAY(
         SELECT k.task_id FROM taskrow.keyed_tasks k
         WHERE k.task_id > $1
           AND (EXISTS (SELECT FROM taskrow.outcomes o WHERE o.task_id = k.task_id AND o.status = 1)
                OR NOT EXISTS (SELECT FROM taskrow.records r WHERE r.id = k.task_id))
         ORDER BY k.task_id LIMIT $2))
     RETURNING task_id"
}

/// How many rows were removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Expired.
    pub(crate) idempotency_keys: usize,
    /// Free.
    pub(crate) unique_keys: usize,
}

/// Removes idempotency keys that have expired and unique keys that are free.
pub(crate) async fn clean_up(connection: &mut AsyncPgConnection) -> QueryResult<Removed> {
    let mut removed = Removed::default();
    loop {
        let page: Vec<(bool,)> = DeleteExpired { page: PAGE }.load(connection).await?;
        removed.idempotency_keys += page.len();
        if page.len() < PAGE as usize {
            break;
        }
    }
    let mut last = (String::new(), String::new(), String::new());
    loop {
        let (deleted, page) = connection.transaction(async |connection| delete_free(connection, &last).await).await?;
        removed.unique_keys += deleted;
        match page.into_iter().next_back() {
            Some(key) => last = key,
            None => break,
        }
    }
    let mut after = Uuid::nil();
    loop {
        let page: Vec<(Uuid,)> = ForgetTasks { after, page: PAGE }.load(connection).await?;
        match page.iter().max() {
            Some((last,)) if page.len() == PAGE as usize => after = *last,
            _ => return Ok(removed),
        }
    }
}

type Key = (String, String, String);

/// Deletes a page of free keys, and tells which it looked at.
async fn delete_free(connection: &mut AsyncPgConnection, after: &Key) -> QueryResult<(usize, Vec<Key>)> {
    let (queue, kind, key) = after;
    let page: Vec<Key> = LockFree { queue, kind, key, page: PAGE }.load(connection).await?;
    let statement = DeleteFree {
        queues: &page.iter().map(|key| key.0.clone()).collect::<Vec<_>>(),
        kinds: &page.iter().map(|key| key.1.clone()).collect::<Vec<_>>(),
        keys: &page.iter().map(|key| key.2.clone()).collect::<Vec<_>>(),
    };
    let deleted: Vec<(bool,)> = statement.load(connection).await?;
    Ok((deleted.len(), page))
}
