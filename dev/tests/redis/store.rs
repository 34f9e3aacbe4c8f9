//! What became of the tasks of a test.

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use local_pg::testing::{self, TestDatabase};
use service::database::{Database, Session};

use crate::support::eventually;

/// A database of its own for one test.
pub(crate) struct Store(TestDatabase);

#[derive(QueryableByName, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Accepted, whatever became of them.
    #[diesel(sql_type = BigInt)]
    pub(crate) tasks: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) done: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) processing: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) cancelled: i64,
    /// Outcomes of the first attempt. (There is at most one outcome per task: it is the table's key.)
    #[diesel(sql_type = BigInt)]
    pub(crate) first_attempts: i64,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Store {
    pub(crate) async fn new() -> Self {
        Self(testing::database().await)
    }

    pub(crate) fn url(&self) -> &str {
        self.0.url()
    }

    pub(crate) fn database(&self, name: &'static str) -> Database {
        Database::from_url(self.url(), name).unwrap()
    }

    pub(crate) async fn counts(&self) -> Counts {
        let mut connection = self.connect().await;
        let query = sql_query(
            "SELECT (SELECT count(*) FROM taskrow.records) AS tasks,
                    count(*) FILTER (WHERE status = 1) AS done, count(*) FILTER (WHERE status = 3) AS cancelled,
                    count(*) FILTER (WHERE attempt = 1) AS first_attempts,
                    (SELECT coalesce(sum(taskrow.mask_size(mask)), 0)::bigint FROM taskrow.leases) AS processing
             FROM taskrow.outcomes",
        );
        query.get_result(&mut connection).await.unwrap()
    }

    /// The number that a query answers.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let mut connection = self.connect().await;
        sql_query(format!("SELECT ({query})::bigint AS number"))
            .get_result::<Number>(&mut connection)
            .await
            .unwrap()
            .number
    }

    async fn connect(&self) -> AsyncPgConnection {
        self.database("test").connect(Session::POOL.named("test")).await.unwrap()
    }

    /// Waits until this many tasks are done, and there are no others but cancelled ones, each by its first attempt: none was lost, and none
    /// ran twice.
    pub(crate) async fn until_all_done_once(&self, tasks: usize) {
        let counts = eventually(async || {
            let counts = self.counts().await;
            let is_over = counts.done + counts.cancelled == counts.tasks;
            if is_over { Ok(counts) } else { Err(format!("{counts:?}, and {tasks} to be done")) }
        })
        .await;
        assert_eq!((counts.done, counts.first_attempts), (tasks as i64, counts.tasks), "{counts:?}");
    }
}
