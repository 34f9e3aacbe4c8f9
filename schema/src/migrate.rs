//! Applying the migrations, and telling which version a database has.
//!
//! Only the `migrate` binary (and the all-in-one local run) applies them. api and worker compare versions and wait.

use std::time::Duration;

use diesel::{QueryDsl, QueryResult, QueryableByName, sql_query, sql_types::Bool};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use service::{
    backoff::Backoff,
    database::{Database, Session},
};
use tokio::{task, time::Instant};
use tracing::{info, warn};

use crate::{partitions, tables::__diesel_schema_migrations as applied_migrations};

/// The migrations this build was made with.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// Key of the session advisory lock that one migrator holds: "taskrow" as bytes.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"\0taskrow");

/// Migrations may take as long as they take; waiting for a lock may not. The path is fixed because diesel's own table has no schema in
/// its name, and for a user called like our schema the default path begins with that.
const SESSION: Session = Session {
    purpose: "migrate",
    settings: &["lock_timeout=10000", "search_path=public"],
    statement_timeout: Duration::ZERO,
    direct: true,
};

/// Why a migration did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database, or the lock that another migrator holds, stayed away until the deadline.
    #[error("gave up after {0:?}: {1}")]
    Deadline(Duration, String),
    /// A migration failed; it was rolled back, the ones before it stay applied.
    #[error("migration failed: {0}")]
    Migration(String),
    /// A role cannot be made, or must not be used.
    #[error("role {0}")]
    Role(String),
    /// A statement around the migrations failed.
    #[error("database: {0}")]
    Database(#[from] diesel::result::Error),
}

/// What [`up`] did.
#[derive(Debug, Default)]
pub struct Done {
    /// Versions applied now, in order.
    pub applied: Vec<String>,
    /// Partitions made now.
    pub partitions: Vec<String>,
}

/// Which migrations a database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Versions applied, in order.
    pub applied: Vec<String>,
    /// Versions of this build that are not applied, in order.
    pub pending: Vec<String>,
}

/// The newest version this build knows, and needs.
pub fn required_version() -> String {
    versions().pop().unwrap_or_default()
}

/// The versions of this build, oldest first.
pub fn versions() -> Vec<String> {
    use diesel::migration::{Migration, MigrationSource};
    let migrations: Vec<Box<dyn Migration<diesel::pg::Pg>>> =
        MIGRATIONS.migrations().expect("embedded migrations are well formed");
    let mut versions: Vec<_> = migrations.iter().map(|migration| migration.name().version().to_string()).collect();
    versions.sort_unstable();
    versions
}

/// Waits for the database, then applies what is pending and makes partitions ahead. Safe to run any number of times, and at the
/// same time as others: one applies, the rest wait and find nothing to do.
pub async fn up(database: &Database, days_ahead: u32, deadline: Duration) -> Result<Done, Error> {
    let mut connection = locked_connection(database, deadline).await?;
    let (connection_back, applied) = with_harness(connection, |harness| {
        let versions =
            harness.run_pending_migrations(MIGRATIONS).map_err(|error| Error::Migration(error.to_string()))?;
        Ok(versions.iter().map(ToString::to_string).collect())
    })
    .await?;
    connection = connection_back;
    let partitions = partitions::create_ahead(&mut connection, days_ahead).await?;
    Ok(Done { applied, partitions })
}

/// Reverts the newest migration; returns its version, or none when nothing is applied. **Deletes its tables' data.**
pub async fn revert(database: &Database, deadline: Duration) -> Result<Option<String>, Error> {
    let mut connection = locked_connection(database, deadline).await?;
    if status_on(&mut connection).await?.applied.is_empty() {
        return Ok(None);
    }
    let (_, version) = with_harness(connection, |harness| {
        harness
            .revert_last_migration(MIGRATIONS)
            .map(|version| version.to_string())
            .map_err(|error| Error::Migration(error.to_string()))
    })
    .await?;
    Ok(Some(version))
}

/// Waits for the database, then tells which migrations it has.
pub async fn status(database: &Database, deadline: Duration) -> Result<Status, Error> {
    let mut connection = connect(database, deadline).await?;
    Ok(status_on(&mut connection).await?)
}

/// Waits until nothing is pending, as somebody else applies it.
pub async fn wait(database: &Database, deadline: Duration) -> Result<(), Error> {
    let started = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        let pending = status(database, left).await?.pending;
        if pending.is_empty() {
            return Ok(());
        }
        if left.is_zero() {
            return Err(Error::Deadline(deadline, format!("pending migrations: {}", pending.join(", "))));
        }
        backoff.wait().await;
    }
}

/// Which migrations the database behind this connection has.
pub async fn status_on(connection: &mut AsyncPgConnection) -> QueryResult<Status> {
    #[derive(QueryableByName)]
    struct Exists {
        #[diesel(sql_type = Bool)]
        exists: bool,
    }
    let table: Exists = sql_query("SELECT to_regclass('public.__diesel_schema_migrations') IS NOT NULL AS exists")
        .get_result(connection)
        .await?;
    let applied: Vec<String> = if table.exists {
        applied_migrations::table
            .select(applied_migrations::version)
            .order(applied_migrations::version)
            .load(connection)
            .await?
    } else {
        Vec::new()
    };
    let pending = versions().into_iter().filter(|version| !applied.contains(version)).collect();
    Ok(Status { applied, pending })
}

async fn connect(database: &Database, deadline: Duration) -> Result<AsyncPgConnection, Error> {
    let started = Instant::now();
    let mut backoff = Backoff::default();
    let mut told = String::new();
    loop {
        match database.connect(SESSION).await {
            Ok(connection) => return Ok(connection),
            Err(error) if started.elapsed() >= deadline => return Err(Error::Deadline(deadline, error.to_string())),
            Err(error) => {
                let reason = error.to_string();
                if reason != told {
                    warn!(reason, database = database.address(), "waiting for the database");
                    told = reason;
                }
            }
        }
        backoff.wait().await;
    }
}

/// A connection that holds the migrators' lock until it closes.
pub(crate) async fn locked_connection(database: &Database, deadline: Duration) -> Result<AsyncPgConnection, Error> {
    #[derive(QueryableByName)]
    struct Locked {
        #[diesel(sql_type = Bool)]
        locked: bool,
    }
    let started = Instant::now();
    let mut backoff = Backoff::default();
    let mut connection = connect(database, deadline).await?;
    let mut told = false;
    loop {
        let row: Locked =
            sql_query(format!("SELECT pg_try_advisory_lock({LOCK_KEY}) AS locked")).get_result(&mut connection).await?;
        if row.locked {
            return Ok(connection);
        }
        if started.elapsed() >= deadline {
            return Err(Error::Deadline(deadline, "another migrator holds the lock".to_owned()));
        }
        if !told {
            info!("another migrator is at work; waiting for it");
            told = true;
        }
        backoff.wait().await;
    }
}

/// Runs diesel's blocking harness on a thread where blocking is allowed, and gives the connection back.
async fn with_harness<T: Send + 'static>(
    connection: AsyncPgConnection,
    work: impl FnOnce(&mut AsyncMigrationHarness<AsyncPgConnection>) -> Result<T, Error> + Send + 'static,
) -> Result<(AsyncPgConnection, T), Error> {
    task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        let value = work(&mut harness)?;
        Ok((harness.into_inner(), value))
    })
    .await
    .map_err(|error| Error::Migration(error.to_string()))?
}
