//! Everything that is asked of Postgres besides submitting and reading tasks by id.
//!
//! Each piece of work runs in a task of its own, on a pooled connection. A client that hangs up drops the future of its handler, at
//! any point: the work goes on, and its connection goes back to the pool with nothing pending on it.
//!
//! The pool may lead to a transaction pooler. Then work that is statements is made one transaction here; work that is a transaction anyway begins
//! its own (`*_as_one`).

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::PoolableConnection,
};
use futures_util::future::BoxFuture;
use service::{
    database::{Database, Pool, Session, in_one_transaction},
    tasks::Tasks,
};
use tokio::time;
use tracing::{debug, error};

use crate::{config::ReadArgs, health::Suspicion};

/// Longest wait for a connection of the pool.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait for the work on it: a little longer than its statements may take.
const WORK_LIMIT: Duration = Duration::from_secs(13);

/// After an error: how long a connection may take to show that it still works.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// The pool, and what to do when it fails. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: Pool,
    /// Whether the pool leads to a transaction pooler.
    is_pooler: bool,
    /// After a restart of Postgres every pooled connection may be dead, and each shows it only when it is used.
    tries: u32,
    tasks: Tasks,
    suspicion: Suspicion,
}

/// Postgres did not do what it was asked, or did not say so. The reason is logged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    /// Nothing was done.
    #[error("the database is not available")]
    Away,
    /// It may have been done.
    #[error("the database did not answer")]
    Unknown,
}

impl Store {
    pub(crate) fn new(database: &Database, args: &ReadArgs, tasks: Tasks, suspicion: Suspicion) -> Self {
        let pool = database.pool(args.database_connections, PATIENCE);
        Self {
            pool,
            is_pooler: database.is_pooler(Session::POOL),
            tries: args.database_connections + 1,
            tasks,
            suspicion,
        }
    }

    /// Runs work that changes nothing, so that its outcome does not matter when it fails.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.run(work, |_| {}).await.map_err(|_| Unavailable::Away)
    }

    /// As [`read`](Self::read), of work that begins a transaction of its own.
    pub(crate) async fn read_as_one<T, W>(&self, work: W) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.run_as_one(work, |_| {}).await.map_err(|_| Unavailable::Away)
    }

    /// Runs work that may be repeated: on a broken connection it is tried again on the next one. Then, once it is committed, `after`, also if the
    /// client has hung up.
    pub(crate) async fn run<T, W>(&self, work: W, after: impl FnOnce(&mut T) + Send + 'static) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.spawn(work, self.is_pooler, after).await
    }

    /// As [`run`](Self::run), of work that begins a transaction of its own.
    pub(crate) async fn run_as_one<T, W>(
        &self,
        work: W,
        after: impl FnOnce(&mut T) + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.spawn(work, false, after).await
    }

    async fn spawn<T, W>(
        &self,
        work: W,
        needs_transaction: bool,
        after: impl FnOnce(&mut T) + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        let store = self.clone();
        let running = self.tasks.spawn(async move {
            let mut outcome = store.run_here(work, needs_transaction).await;
            if let Ok(value) = &mut outcome {
                after(value);
            }
            outcome
        });
        // A panic in there is a bug; the middleware that catches panics answers for it.
        match running.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Unavailable::Unknown),
        }
    }

    /// Open connections, and those of them that do nothing.
    pub(crate) fn connections(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }

    async fn run_here<T, W>(&self, work: W, needs_transaction: bool) -> Result<T, Unavailable>
    where
        T: Send,
        W: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, Error>> + Sync,
    {
        let mut failure = Unavailable::Away;
        for _ in 0..self.tries {
            let mut connection = match self.pool.get().await {
                Ok(connection) => connection,
                Err(error) => {
                    debug!(%error, "no connection of the pool came free, or none could be opened");
                    self.suspicion.raise();
                    return Err(failure);
                }
            };
            if connection.is_broken() {
                continue;
            }
            let error = match time::timeout(WORK_LIMIT, once(&work, &mut connection, needs_transaction)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            self.suspicion.raise();
            match error {
                None => {
                    debug!("no answer from Postgres");
                    discard(&mut connection);
                    return Err(Unavailable::Unknown);
                }
                Some(error) if is_broken(&error) => {
                    debug!(%error, "a pooled connection was broken");
                    discard(&mut connection);
                    failure = Unavailable::Unknown;
                }
                Some(error) if has_died(&mut connection).await => {
                    debug!(%error, "Postgres ended a pooled connection");
                }
                Some(error) => {
                    error!(%error, "Postgres refused a statement");
                    return Err(Unavailable::Away);
                }
            }
        }
        Err(failure)
    }
}

/// Does it once, as one transaction if it needs that.
async fn once<T, W>(work: &W, connection: &mut AsyncPgConnection, needs_transaction: bool) -> Result<T, Error>
where
    W: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, Error>>,
{
    if needs_transaction {
        in_one_transaction(connection, Session::POOL, async |connection| work(connection).await).await
    } else {
        work(connection).await
    }
}

/// Tells an error that ends its connection (Postgres shuts down, an operator ended it) from one about the statement: the library
/// does not tell them apart.
async fn has_died(connection: &mut AsyncPgConnection) -> bool {
    let is_alive = matches!(time::timeout(PROBE_LIMIT, connection.batch_execute("SELECT 1")).await, Ok(Ok(())));
    if !is_alive {
        discard(connection);
    }
    !is_alive
}

/// Keeps a connection out of the pool: the pool asks whether its transaction state is broken when it comes back.
fn discard(connection: &mut AsyncPgConnection) {
    AnsiTransactionManager::transaction_manager_status_mut(connection).set_in_error();
}

/// Whether another connection may do better. After a failover, a connection to the old primary is open and read-only.
fn is_broken(error: &Error) -> bool {
    use DatabaseErrorKind::{ClosedConnection, ReadOnlyTransaction, UnableToSendCommand};
    matches!(error, Error::DatabaseError(ClosedConnection | ReadOnlyTransaction | UnableToSendCommand, _))
}
