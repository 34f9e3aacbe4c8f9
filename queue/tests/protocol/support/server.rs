//! Which Postgres a test runs on.

use std::{collections::BTreeMap, sync::Mutex};

use local_pg::testing::{self, TestDatabase};

/// The Postgres of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The one this machine has (or `TASKROW_PG_BIN` names).
    Machine,
    /// One of this major version; its absence fails the test.
    Major(u32),
}

impl On {
    /// A new database with the schema in it.
    pub(crate) async fn database(self) -> TestDatabase {
        match self {
            Self::Machine => testing::database().await,
            Self::Major(major) => testing::migrated_database(shared(major)).await,
        }
    }
}

/// One server per major version and process, started by the first test that needs it.
fn shared(major: u32) -> &'static local_pg::Server {
    static SERVERS: Mutex<BTreeMap<u32, &'static local_pg::Server>> = Mutex::new(BTreeMap::new());
    let mut servers = SERVERS.lock().unwrap();
    servers.entry(major).or_insert_with(|| Box::leak(Box::new(testing::own_server(major))))
}
