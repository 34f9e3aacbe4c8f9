//! Empty databases, and looking into them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use local_pg::{
    Server,
    testing::{self, TestDatabase},
};
use service::database::{Database, Session};

/// An empty database and its URL.
pub(crate) struct Empty {
    pub(crate) url: String,
    pub(crate) database: Database,
    _kept: Option<TestDatabase>,
}

/// On the machine's Postgres.
pub(crate) async fn empty() -> Empty {
    let kept = testing::empty_database().await;
    let url = kept.url().to_owned();
    Empty { database: open(&url), url, _kept: Some(kept) }
}

/// On a server of one major version, whose absence fails the test. It lives as long as the tests.
pub(crate) async fn empty_on(major: u32) -> Empty {
    static SERVERS: Mutex<BTreeMap<u32, &'static Server>> = Mutex::new(BTreeMap::new());
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server =
        *SERVERS.lock().unwrap().entry(major).or_insert_with(|| Box::leak(Box::new(testing::own_server(major))));
    let name = format!("empty_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    server.create_database(&name).await.unwrap();
    let url = server.url(&name);
    Empty { database: open(&url), url, _kept: None }
}

fn open(url: &str) -> Database {
    Database::from_url(url, "test").unwrap_or_else(|failure| panic!("{failure}"))
}

impl Empty {
    pub(crate) async fn connect(&self) -> AsyncPgConnection {
        self.database.connect(Session::POOL).await.unwrap()
    }

    /// The one text column of a query's rows.
    pub(crate) async fn lines(&self, query: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = Text)]
            line: String,
        }
        let query = format!("SELECT q.line::text AS line FROM ({query}) AS q(line) ORDER BY 1");
        let rows: Vec<Line> =
            sql_query(&query).load(&mut self.connect().await).await.unwrap_or_else(|error| panic!("{error}: {query}"));
        rows.into_iter().map(|row| row.line).collect()
    }
}
