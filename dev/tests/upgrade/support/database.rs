//! Looking into the database that both releases share.

use local_pg::testing::{self, TestDatabase};
use service::tasks::Tasks;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::eventually::eventually;

/// A database without a schema, at first.
pub(crate) struct Database {
    kept: TestDatabase,
    client: Client,
}

impl Database {
    pub(crate) async fn empty() -> Self {
        let kept = testing::empty_database().await;
        let (client, connection) = tokio_postgres::connect(kept.url(), NoTls).await.expect("a connection");
        Tasks::new().spawn(connection);
        Self { kept, client }
    }

    pub(crate) fn url(&self) -> &str {
        self.kept.url()
    }

    /// The first column of a query's rows.
    pub(crate) async fn lines(&self, sql: &str) -> Vec<String> {
        let messages = self.client.simple_query(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
        let line = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        };
        messages.iter().filter_map(line).collect()
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.lines(sql).await[0].parse().expect("a number")
    }

    /// Waits until a query's number is that large.
    pub(crate) async fn counts(&self, least: i64, sql: &str) {
        eventually(async || {
            let count = self.count(sql).await;
            (count >= least).then_some(()).ok_or_else(|| format!("{count} < {least}: {sql}"))
        })
        .await;
    }

    /// Waits until every task has an outcome.
    pub(crate) async fn settled(&self) {
        self.counts(
            1,
            "SELECT (NOT EXISTS (SELECT FROM taskrow.ready) AND NOT EXISTS (SELECT FROM taskrow.leases)
                     AND NOT EXISTS (SELECT FROM taskrow.scheduled))::int",
        )
        .await;
    }

    /// The ids of the tasks that are done at this attempt.
    pub(crate) async fn done_at(&self, attempt: i16) -> Vec<String> {
        self.lines(&format!("SELECT task_id FROM taskrow.outcomes WHERE status = 1 AND attempt = {attempt}")).await
    }

    /// Everything the migrations made.
    pub(crate) async fn shape(&self) -> Vec<String> {
        let mut shape = self.lines(include_str!("../../../../schema/tests/database/objects.sql")).await;
        shape.sort_unstable();
        shape
    }

    /// The versions applied, in order.
    pub(crate) async fn versions(&self) -> Vec<String> {
        self.lines("SELECT version FROM public.__diesel_schema_migrations ORDER BY version").await
    }
}
