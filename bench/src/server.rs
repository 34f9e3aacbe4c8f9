//! The database of a run, and the processes beside it.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use dispatch::{Backend, Dispatch, DispatchArgs};
use local_pg::{Installation, Server};
use queue::{ReadyBatch, wakeup::Notifier};
use schema::migrate;
use service::{
    database::{Database, Link, Session},
    exit::Failure,
    tasks::Tasks,
};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use crate::machine;

/// As durable as in production.
const SETTINGS: [(&str, &str); 4] =
    [("fsync", "on"), ("full_page_writes", "on"), ("shared_buffers", "512MB"), ("max_wal_size", "4GB")];

const SESSION: Session =
    Session { purpose: "bench", settings: &[], statement_timeout: Duration::from_secs(120), direct: true };

/// A migrated database on a server of its own, and a Redis if that is the backend.
pub(crate) struct Bench {
    server: Server,
    redis: Option<local_redis::Server>,
    pub(crate) dispatch: Dispatch,
    pub(crate) database: Database,
    pub(crate) url: String,
    pub(crate) link: Link,
}

/// Ends its process when dropped.
pub(crate) struct Process(pub(crate) Child);

/// Counters of the server, to be subtracted.
#[derive(QueryableByName, Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// Bytes of WAL written.
    #[diesel(sql_type = BigInt)]
    pub(crate) wal: i64,
    /// Row versions that died: every update and every delete leaves one.
    #[diesel(sql_type = BigInt)]
    pub(crate) dead: i64,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Bench {
    pub(crate) async fn start(backend: Backend) -> Result<Self, Failure> {
        let installation = Installation::find().map_err(Failure::unavailable)?;
        let server = block_in_place(|| Server::throwaway(&installation, &SETTINGS)).map_err(Failure::unavailable)?;
        server.create_database("app").await.map_err(Failure::unavailable)?;
        let url = server.url("app");
        let database = Database::from_url(&url, "bench")?;
        migrate::up(&database, 7, Duration::from_secs(30)).await.map_err(Failure::unavailable)?;
        let link = database.link(SESSION);
        let redis = match backend {
            Backend::Postgres => None,
            Backend::Redis => Some(block_in_place(local_redis::Server::start).map_err(Failure::unavailable)?),
        };
        let redis_addr = redis.as_ref().map(local_redis::Server::address);
        let dispatch = DispatchArgs { queue_backend: backend, redis_addr, ..DispatchArgs::default() }.dispatch()?;
        Ok(Self { server, redis, dispatch, database, url, link })
    }

    pub(crate) fn backend(&self) -> &'static str {
        if self.redis.is_some() { "redis" } else { "postgres" }
    }

    /// Tells of batches, and waits until they are told.
    pub(crate) async fn publish(&self, ready: Vec<ReadyBatch>) -> Result<(), Failure> {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let publisher = self.dispatch.publisher(Notifier::default());
        publisher.publish(ready);
        // What was published before the stop is told.
        stop.cancel();
        tasks.spawn(publisher.run(stop));
        if tasks.finish(Duration::from_secs(10)).await {
            Ok(())
        } else {
            Err(Failure::software("Redis takes too long"))
        }
    }

    /// Processor time of all of Postgres until now, in seconds.
    pub(crate) fn postgres_cpu_s(&self) -> f64 {
        self.server.pid().map_or(0.0, machine::family_cpu_s)
    }

    pub(crate) fn version(&self) -> &str {
        self.server.installation().version()
    }

    pub(crate) async fn number(&mut self, sql: &str) -> Result<i64, Failure> {
        let row: Number = self
            .link
            .run(async |connection| sql_query(format!("SELECT ({sql})::bigint AS number")).get_result(connection).await)
            .await
            .map_err(Failure::software)?;
        Ok(row.number)
    }

    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.link.run(async |connection| sql_query(sql).execute(connection).await).await.map_err(Failure::software)?;
        Ok(())
    }

    pub(crate) async fn counters(&mut self) -> Result<Counters, Failure> {
        self.link
            .run(async |connection| {
                sql_query(
                    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal,
                            (SELECT sum(n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables) AS dead",
                )
                .get_result(connection)
                .await
            })
            .await
            .map_err(Failure::software)
    }

    /// Starts one of our binaries, which must have been built beside this one.
    pub(crate) fn spawn(&self, name: &str, environment: &[(&str, String)]) -> Result<Process, Failure> {
        let child = Command::new(binary(name)?)
            .env("DATABASE_URL", &self.url)
            .env("QUEUE_BACKEND", self.backend())
            .env("REDIS_ADDR", self.redis.as_ref().map(local_redis::Server::address).unwrap_or_default())
            .envs(environment.iter().map(|(key, value)| (*key, value.as_str())))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| Failure::software(format!("cannot start {name}: {error}")))?;
        Ok(Process(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn binary(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe().map_err(Failure::software)?.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(Failure::usage(format!("{} is missing: run `cargo build --release --workspace` first", path.display())))
}
