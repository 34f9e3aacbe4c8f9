//! Submits that carry keys.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use queue::{
    NewTask, TaskId,
    keyed::{Answer, Answered, GLOBAL_SCOPE, How, Idempotency, Outcome, Request, Unique, UniqueKey, UniqueMode, store},
};

/// An idempotency key, and what stands for the request.
pub(crate) fn idempotency(key: &str, request: u8) -> Option<Idempotency> {
    let ttl = Duration::from_secs(3600);
    Some(Idempotency { scope: GLOBAL_SCOPE.to_owned(), key: key.to_owned(), fingerprint: [request; 32], ttl })
}

/// A unique key of the first task, if it is held: keep.
pub(crate) fn keep(key: &str) -> Vec<(usize, Unique)> {
    vec![(0, unique(key, UniqueMode::Keep))]
}

/// A unique key of the first task, if it is held: replace.
pub(crate) fn replace(key: &str) -> Vec<(usize, Unique)> {
    vec![(0, unique(key, UniqueMode::Replace))]
}

pub(crate) fn unique(key: &str, mode: UniqueMode) -> Unique {
    Unique { key: UniqueKey::new(key).unwrap(), mode }
}

/// Stores a request that is answered.
pub(crate) async fn answer(connection: &mut AsyncPgConnection, request: &Request) -> Answer {
    match store(connection, request, false).await.unwrap() {
        Outcome::Answered(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// Submits one task with a unique key.
pub(crate) async fn submit(
    connection: &mut AsyncPgConnection,
    task: NewTask,
    unique: Vec<(usize, Unique)>,
) -> (How, TaskId) {
    how(&answer(connection, &Request::new(vec![task], unique, None)).await)
}

/// The answer to a request of one task.
pub(crate) fn how(answer: &Answer) -> (How, TaskId) {
    let [Answered { how, id, .. }] = answer.tasks[..] else { panic!("{answer:?}") };
    (how, id)
}
