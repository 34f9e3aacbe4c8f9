//! Work on a connection that leads to a transaction pooler, such as PgBouncer with `pool_mode = transaction`.
//!
//! Behind one, two statements may run on two connections of the server, unless a transaction holds them together. A statement that is prepared
//! first and run after that would not be found there, or, since every process numbers its own, be another one's: the wrong statement, with the
//! right parameters. Newer poolers (PgBouncer 1.21) rename statements, if told to; this holds with any.

use diesel::result::Error;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};

use super::Session;

/// Runs `work` as one transaction under the session's time limits. What prepares statements and closes them is in it, too: connections to a pooler
/// remember none.
pub async fn in_one_transaction<T>(
    connection: &mut AsyncPgConnection,
    session: Session,
    work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    AnsiTransactionManager::begin_transaction(connection).await?;
    let outcome = match connection.batch_execute(&limits(session)).await {
        Ok(()) => work(connection).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(value) => AnsiTransactionManager::commit_transaction(connection).await.map(|()| value),
        Err(error) => {
            // If this fails the connection is broken, which its owner finds out; the first error says why.
            let _ = AnsiTransactionManager::rollback_transaction(connection).await;
            Err(error)
        }
    }
}

fn limits(session: Session) -> String {
    let timeout = session.statement_timeout.as_millis();
    format!("SET LOCAL statement_timeout = {timeout}; SET LOCAL lock_timeout = {timeout}")
}
