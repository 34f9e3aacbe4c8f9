//! A database per test.
//!
//! [`database`] is a fresh copy of a migrated template; NOTIFY is per database, so a schema per test would not keep
//! tests apart. All tests share one throw-away server: the one that `local-pg exec` put into
//! `TASKROW_TEST_SERVER` or, without it, one per test process. Tests that stop or kill a server have their own, from
//! [`server_with`] or [`own_server`].
//!
//! Everything here panics when it fails, because a test cannot go on without its database.

mod dropper;
mod template;

use std::env;
use std::sync::OnceLock;

use crate::{Error, Installation, Server, admin, random};

/// Names the environment variable with the base URL of the server for tests.
pub const SERVER_ENV: &str = "TASKROW_TEST_SERVER";

/// The role of the api in migrated databases.
pub const API_ROLE: &str = "taskrow_api";
/// The role of workers in migrated databases.
pub const WORKER_ROLE: &str = "taskrow_worker";

/// A database of its own for one test. Dropping it drops the database, in the background and without a promise.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Where a client connects, as superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, as the role of the api; of a migrated database.
    pub fn api_url(&self) -> String {
        self.url_of(API_ROLE)
    }

    /// The same, as the role of workers; of a migrated database.
    pub fn worker_url(&self) -> String {
        self.url_of(WORKER_ROLE)
    }

    /// The password is the superuser's.
    fn url_of(&self, role: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("postgresql", &self.url));
        let password = rest.split_once(':').map_or("", |(_, password)| password);
        format!("{scheme}://{role}:{password}")
    }

    /// The database's name, unique on its server.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        dropper::send(&self.server, &self.name);
    }
}

/// A new database with every migration applied.
pub async fn database() -> TestDatabase {
    expect(create(shared_server(), true).await)
}

/// A new database with nothing in it, for tests of the migrations themselves.
pub async fn empty_database() -> TestDatabase {
    expect(create(shared_server(), false).await)
}

/// A throw-away server for one test, with these configuration parameters over the defaults.
pub fn server_with(settings: &[(&str, &str)]) -> Server {
    expect(Installation::find().and_then(|found| Server::throwaway(&found, settings)))
}

/// A throw-away server of one major version for one test.
pub fn own_server(major: u32) -> Server {
    expect(Installation::find_major(major).and_then(|found| Server::throwaway(&found, &[])))
}

/// A new database with every migration applied, on a server of the test's own.
pub async fn migrated_database(server: &Server) -> TestDatabase {
    expect(create(&server.base_url(), true).await)
}

async fn create(server: &str, migrated: bool) -> Result<TestDatabase, Error> {
    let client = admin::connect(server).await?;
    let template = if migrated { Some(template::ready(server, &client).await?) } else { None };
    let name = format!("test_{}", random::hex::<8>()?);
    admin::create_database(&client, &name, template.as_deref()).await?;
    Ok(TestDatabase { url: format!("{server}/{name}"), server: server.to_owned(), name })
}

/// The base URL of the server that this process's tests share.
///
/// Blocks while the server starts, once per process. Nothing drops a static: the server's watchdog cleans up when the
/// process ends.
fn shared_server() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    static OWN: OnceLock<Server> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "between local-pg's binary and its own library")]
    URL.get_or_init(|| env::var(SERVER_ENV).unwrap_or_else(|_| OWN.get_or_init(|| server_with(&[])).base_url()))
}

/// See the module's doc for why this panics.
fn expect<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("test database: {error}"))
}
