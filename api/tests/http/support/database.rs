//! The database of a test, and what tests do to it behind the API's back.

use std::sync::Arc;

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use local_pg::testing::{self, TestDatabase};
use service::database::{Database, Session};

/// A database of its own for one test. Clones are the same one.
#[derive(Clone)]
pub(crate) struct TestDb {
    inner: Arc<TestDatabase>,
    api_url: String,
}

/// While it lives, nobody can store a task.
pub(crate) struct Blocked {
    connection: AsyncPgConnection,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl TestDb {
    pub(crate) async fn migrated() -> Self {
        let inner = testing::database().await;
        Self { api_url: inner.api_url(), inner: Arc::new(inner) }
    }

    pub(crate) async fn empty() -> Self {
        let inner = testing::empty_database().await;
        Self { api_url: inner.url().to_owned(), inner: Arc::new(inner) }
    }

    /// What the API connects to: by its role, which may do what it needs and no more. (As superuser where nothing is migrated.)
    pub(crate) fn api_url(&self) -> &str {
        &self.api_url
    }

    /// As superuser, for the test itself.
    pub(crate) fn url(&self) -> &str {
        self.inner.url()
    }

    pub(crate) fn at(url: &str) -> Database {
        Database::from_url(url, "api").unwrap()
    }

    pub(crate) async fn connect(&self) -> AsyncPgConnection {
        Self::at(self.url()).connect(Session::POOL.named("test")).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.connect().await.batch_execute(sql).await.unwrap();
    }

    /// The number that a query answers.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let row: Number = sql_query(format!("SELECT ({query})::bigint AS number"))
            .get_result(&mut self.connect().await)
            .await
            .unwrap();
        row.number
    }

    /// Holds up everyone who stores tasks.
    pub(crate) async fn block(&self) -> Blocked {
        let mut connection = self.connect().await;
        connection.batch_execute("BEGIN; LOCK TABLE taskrow.ready IN ACCESS EXCLUSIVE MODE").await.unwrap();
        Blocked { connection }
    }

    /// How many connections wait for a lock.
    pub(crate) async fn waiting(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .await
    }
}

impl Blocked {
    pub(crate) async fn release(mut self) {
        self.connection.batch_execute("COMMIT").await.unwrap();
    }
}
