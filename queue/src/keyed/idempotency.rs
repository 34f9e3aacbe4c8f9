//! The rows of `idempotency_keys`.

use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{Array, BigInt, Binary, Bool, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::key::Idempotency;
use crate::{id::TaskId, statement::statement, submit::milliseconds};

/// How often to look again at a row that expired or was removed between two looks.
const TRIES: usize = 3;

statement! {
    /// Waits for a transaction that has inserted the same key and not ended. One row per key, so no order matters. A row that has expired
    /// is taken over in place: of several that find it so, the others wait for its lock and then see one that has not expired.
    struct Take<'a> -> (Bool,) {
        scope: &'a str => Text,
        key: &'a str => Text,
        request: Uuid => SqlUuid,
        fingerprint: &'a [u8] => Binary,
        task_ids: &'a [Uuid] => Array<SqlUuid>,
        ttl_ms: i64 => BigInt,
    }
    "INSERT INTO taskrow.idempotency_keys AS k (scope, key, request, fingerprint, task_ids, expires_at)
     VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 millisecond')
     ON CONFLICT (scope, key) DO UPDATE
         SET request = excluded.request, fingerprint = excluded.fingerprint, task_ids = excluded.task_ids,
             expires_at = excluded.expires_at, created_at = excluded.created_at
         WHERE k.expires_at <= clock_timestamp()
     RETURNING true"
}

statement! {
    /// A statement of its own, for its snapshot: the row may have been committed while the first one waited for it.
    struct Find<'a> -> (SqlUuid, Binary, Array<SqlUuid>) { scope: &'a str => Text, key: &'a str => Text }
    "SELECT request, fingerprint, task_ids FROM taskrow.idempotency_keys WHERE scope = $1 AND key = $2 AND expires_at > clock_timestamp()"
}

/// Whether a request with this key was stored, and is remembered. A row that is being written is not seen.
pub async fn is_known(connection: &mut AsyncPgConnection, scope: &str, key: &str) -> QueryResult<bool> {
    let found: Option<(Uuid, Vec<u8>, Vec<Uuid>)> = Find { scope, key }.get_result(connection).await.optional()?;
    Ok(found.is_some())
}

statement! {
    /// The row is locked: this transaction wrote it.
    struct Note<'a> -> (Bool,) { scope: &'a str => Text, key: &'a str => Text, task_ids: &'a [Uuid] => Array<SqlUuid> }
    "UPDATE taskrow.idempotency_keys SET task_ids = $3 WHERE scope = $1 AND key = $2 RETURNING true"
}

/// Whose a key is.
pub(super) enum Taken {
    /// This request's, from now on.
    Now,
    /// It was taken before, perhaps by an earlier try of this very request.
    Before {
        /// Which request took it.
        request: Uuid,
        /// What it was.
        is_same: bool,
        /// What it was answered.
        task_ids: Vec<TaskId>,
    },
    /// It kept changing.
    Unclear,
}

/// Takes a key for a request whose tasks will be these.
pub(super) async fn take(
    connection: &mut AsyncPgConnection,
    idempotency: &Idempotency,
    request: Uuid,
    task_ids: &[Uuid],
) -> QueryResult<Taken> {
    let Idempotency { scope, key, fingerprint, ttl } = idempotency;
    for _ in 0..TRIES {
        let take = Take { scope, key, request, fingerprint, task_ids, ttl_ms: milliseconds(*ttl) };
        if take.get_result::<(bool,)>(connection).await.optional()?.is_some() {
            return Ok(Taken::Now);
        }
        let found: Option<(Uuid, Vec<u8>, Vec<Uuid>)> = Find { scope, key }.get_result(connection).await.optional()?;
        if let Some((request, known, ids)) = found {
            let task_ids = ids.into_iter().map(TaskId::from_uuid).collect();
            return Ok(Taken::Before { request, is_same: known == fingerprint, task_ids });
        }
    }
    Ok(Taken::Unclear)
}

/// Notes what a request is answered, if it is not what was expected when it took its key.
pub(super) async fn note(
    connection: &mut AsyncPgConnection,
    idempotency: &Idempotency,
    task_ids: &[Uuid],
) -> QueryResult<()> {
    let note = Note { scope: &idempotency.scope, key: &idempotency.key, task_ids };
    note.get_result::<(bool,)>(connection).await.map(drop)
}
