//! Servers that ask for passwords, and files that hold them.

use local_pg::testing::{self, TestDatabase};
use local_redis::Server;
use tempfile::NamedTempFile;
use tokio_postgres::NoTls;

use crate::evidence::{POSTGRES, REDIS, encoded};

/// A database that is migrated, and a Redis.
pub(crate) struct Servers {
    pub(crate) database: TestDatabase,
    pub(crate) redis: Server,
}

impl Servers {
    /// Whoever knows the password may do anything.
    pub(crate) async fn start() -> Self {
        let database = testing::database().await;
        let redis = tokio::task::spawn_blocking(|| Server::with(&[("requirepass", REDIS)])).await.expect("no panic");
        let servers = Self { database, redis: redis.unwrap_or_else(|error| panic!("{error}")) };
        let user = servers.user();
        servers.execute(&format!("CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{POSTGRES}'")).await;
        servers
    }

    /// Roles belong to the server, which tests share.
    pub(crate) fn user(&self) -> String {
        format!("keeper_{}", self.database.name())
    }

    /// The URL with this password, or none.
    pub(crate) fn url(&self, password: Option<&str>) -> String {
        let (_, location) = self.database.url().rsplit_once('@').expect("a user");
        let password = password.map(|password| format!(":{}", encoded(password))).unwrap_or_default();
        format!("postgresql://{}{password}@{location}", self.user())
    }

    pub(crate) async fn execute(&self, statement: &str) {
        let (client, connection) = tokio_postgres::connect(self.database.url(), NoTls).await.expect("a connection");
        let running = service::tasks::Tasks::new().spawn(connection);
        client.batch_execute(statement).await.expect(statement);
        drop(client);
        running.await.expect("no panic").expect("an end in order");
    }

    /// Breaks every connection of the processes under test.
    pub(crate) async fn break_connections(&self) {
        let of = format!("FROM pg_stat_activity WHERE usename = '{}'", self.user());
        self.execute(&format!("SELECT pg_terminate_backend(pid) {of}")).await;
    }
}

/// A file with a secret in it.
pub(crate) fn file(secret: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{secret}\n")).expect("written");
    file
}

/// Its path as text.
pub(crate) fn path(file: &NamedTempFile) -> String {
    file.path().to_str().expect("text").to_owned()
}
