//! Makes statements meet: they queue up behind rows that a gate holds, and go on together when it opens.

use diesel_async::AsyncPgConnection;
use queue::session;

use super::{Harness, sql, wait};

/// An open transaction that others wait for.
pub(crate) struct Gate {
    connection: AsyncPgConnection,
    /// Outside of the transaction, in which pg_stat_activity would stand still.
    watcher: AsyncPgConnection,
}

impl Gate {
    /// Begins a transaction with a statement that locks something.
    pub(crate) async fn shut(queue: &Harness, statement: &str) -> Self {
        let mut connection = queue.connect(session::DURABLE).await;
        sql::run(&mut connection, &format!("BEGIN; {statement}")).await;
        Self { connection, watcher: queue.connect(session::DURABLE).await }
    }

    /// Waits until so many statements of this database wait for a lock.
    pub(crate) async fn has_queue_of(&mut self, count: i64) {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait::until("statements to meet at the gate", async || sql::number(&mut self.watcher, waiting).await == count)
            .await;
    }

    /// A number, asked within the gate's transaction.
    pub(crate) async fn number(&mut self, query: &str) -> i64 {
        sql::number(&mut self.connection, query).await
    }

    /// Lets them go, as if this transaction had never been.
    pub(crate) async fn open(mut self) {
        sql::run(&mut self.connection, "ROLLBACK").await;
    }
}
