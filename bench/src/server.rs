//! The database of a run, and the processes beside it.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use dispatch::{Backend, Dispatch, DispatchArgs};
use local_pg::{Installation, Server};
use queue::{ReadyBatch, wakeup::Notifier};
use reqwest::Url;
use schema::migrate;
use serde_json::{Value, json};
use service::{
    database::{Database, Link, LinkError, Session},
    exit::Failure,
    tasks::Tasks,
};
use tokio::{
    runtime::Handle,
    task::block_in_place,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::machine;

/// As durable as in production, and default but for the two sizes.
const SETTINGS: [(&str, &str); 5] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "2GB"),
    ("max_wal_size", "8GB"),
];

const SESSION: Session =
    Session { purpose: "bench", settings: &["jit=off"], statement_timeout: Duration::from_secs(600), direct: true };

/// How long the backends of processes that were killed may take to end; then they have sent their statistics.
const STATISTICS_DELAY: Duration = Duration::from_millis(300);
/// Longest that processes may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Where runs get their databases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// A database on the server to measure; none: a private server per run.
    pub(crate) database_url: Option<String>,
}

impl Setup {
    /// Version and settings of the server.
    pub(crate) async fn facts(&self) -> Result<Value, Failure> {
        let (_server, url) = self.server().await?;
        let mut link = Database::from_url(&url, "bench")?.link(SESSION);
        let names =
            ["server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size"];
        let mut facts = serde_json::Map::new();
        for name in names {
            #[derive(QueryableByName)]
            struct Shown {
                #[diesel(sql_type = diesel::sql_types::Text)]
                setting: String,
            }
            let query = format!("SELECT current_setting('{name}') AS setting");
            let shown = link.run(async |connection| sql_query(query).get_result::<Shown>(connection).await).await;
            facts.insert(name.to_owned(), shown.map_err(Failure::unavailable)?.setting.into());
        }
        facts.insert("private".to_owned(), json!(self.database_url.is_none()));
        Ok(facts.into())
    }

    /// One server for several databases. It ends when the first of the pair is dropped.
    pub(crate) async fn shared(&self) -> Result<(Option<Server>, Self), Failure> {
        let (server, url) = self.server().await?;
        Ok((server, Self { database_url: Some(url) }))
    }

    async fn server(&self) -> Result<(Option<Server>, String), Failure> {
        if let Some(url) = &self.database_url {
            return Ok((None, url.clone()));
        }
        let installation = Installation::find().map_err(Failure::unavailable)?;
        let server = block_in_place(|| Server::throwaway(&installation, &SETTINGS)).map_err(Failure::unavailable)?;
        let url = server.url("postgres");
        Ok((Some(server), url))
    }
}

/// A migrated database of its own, and a Redis if that is the backend.
pub(crate) struct Bench {
    redis: Option<local_redis::Server>,
    pub(crate) dispatch: Dispatch,
    pub(crate) database: Database,
    pub(crate) url: String,
    pub(crate) link: Link,
    _own: OwnDatabase,
}

/// Counters of the database, to be subtracted.
#[derive(QueryableByName, Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// Bytes of WAL written, by the whole server.
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
    /// A new database on the server of the setup, which says how durable it is.
    pub(crate) async fn start(setup: &Setup, backend: Backend) -> Result<Self, Failure> {
        let own = OwnDatabase::create(setup).await?;
        let url = own.url.clone();
        let database = Database::from_url(&url, "bench")?;
        migrate::up(&database, 7, Duration::from_secs(30)).await.map_err(Failure::unavailable)?;
        let link = database.link(SESSION);
        let redis = match backend {
            Backend::Postgres => None,
            Backend::Redis => Some(block_in_place(local_redis::Server::start).map_err(Failure::unavailable)?),
        };
        let redis_addr = redis.as_ref().map(local_redis::Server::address);
        let dispatch = DispatchArgs { queue_backend: backend, redis_addr, ..DispatchArgs::default() }.dispatch()?;
        Ok(Self { redis, dispatch, database, url, link, _own: own })
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

    /// Processor time of all of a private Postgres until now, in seconds; not a number when the server is not ours.
    pub(crate) fn postgres_cpu_s(&self) -> f64 {
        self._own.server.as_ref().and_then(Server::pid).map_or(f64::NAN, machine::family_cpu_s)
    }

    /// The answer to a query for a number.
    pub(crate) async fn number(&mut self, sql: &str) -> Result<i64, Failure> {
        let row: Number = self
            .link
            .run(async |connection| sql_query(format!("SELECT ({sql})::bigint AS number")).get_result(connection).await)
            .await
            .map_err(Failure::software)?;
        Ok(row.number)
    }

    /// Fails unless so many tasks are stored: what was acknowledged, and nothing else.
    pub(crate) async fn check_stored(&mut self, tasks: usize) -> Result<(), Failure> {
        let stored = self.number("SELECT count(*) FROM taskrow.records").await?;
        if stored != tasks as i64 {
            return Err(Failure::software(format!("{tasks} tasks were acknowledged, {stored} are stored")));
        }
        Ok(())
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.link.run(async |connection| connection.batch_execute(sql).await).await.map_err(Failure::software)
    }

    /// Fresh statistics and nothing left to write: what comes next is not disturbed by what came before.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        self.run("ANALYZE").await?;
        self.run("CHECKPOINT").await
    }

    /// Counters, once everything that has ended is in them.
    pub(crate) async fn counters(&mut self) -> Result<Counters, Failure> {
        time::sleep(STATISTICS_DELAY).await;
        self.link
            .run(async |connection| {
                sql_query(
                    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal,
                            (SELECT coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables) AS dead",
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
            .env("QUEUE_BACKEND", if self.redis.is_some() { "redis" } else { "postgres" })
            .env("REDIS_ADDR", self.redis.as_ref().map(local_redis::Server::address).unwrap_or_default())
            .envs(environment.iter().map(|(key, value)| (*key, value.as_str())))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| Failure::software(format!("cannot start {name}: {error}")))?;
        Ok(Process(child))
    }

    /// A worker with this concurrency, and where it serves its metrics.
    pub(crate) fn spawn_worker(&self, concurrency: u32) -> Result<(Process, String), Failure> {
        let address = free_address()?;
        let environment = [("WORKER_CONCURRENCY", concurrency.to_string()), ("WORKER_BIND", address.clone())];
        Ok((self.spawn("worker", &environment)?, address))
    }

    /// An API that answers, and where.
    pub(crate) async fn spawn_api(&self, environment: &[(&str, String)]) -> Result<(Process, String), Failure> {
        let address = free_address()?;
        let mut all = vec![("API_BIND", address.clone()), ("API_DRAIN_DELAY", "0s".to_owned())];
        all.extend(environment.iter().cloned());
        let process = self.spawn("api", &all)?;
        wait_until_ready(&address).await?;
        Ok((process, address))
    }
}

/// A port that nobody listens on now.
fn free_address() -> Result<String, Failure> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::software)?;
    Ok(listener.local_addr().map_err(Failure::software)?.to_string())
}

/// Waits until a process of ours says that it is ready.
pub(crate) async fn wait_until_ready(address: &str) -> Result<(), Failure> {
    let (client, url) = (reqwest::Client::new(), format!("http://{address}/ready"));
    let asked = Instant::now();
    while asked.elapsed() < START_LIMIT {
        if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        time::sleep(Duration::from_millis(20)).await;
    }
    Err(Failure::unavailable(format!("{address} is not ready after {START_LIMIT:?}")))
}

/// Ends its process when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
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

/// Where the programs of a Postgres installation are that has this one.
pub(crate) fn postgres_program(name: &str) -> Result<PathBuf, Failure> {
    let installed =
        Installation::all().map(|installation| installation.bin_dir().join(name)).find(|path| path.is_file());
    let here = [std::env::current_dir(), std::env::current_exe()].into_iter().flatten();
    installed.or_else(|| fetched(name, here)).ok_or_else(|| {
        Failure::unavailable(format!(
            "{name} is missing: dev/setup.sh --bench installs it (Debian: package postgresql)"
        ))
    })
}

/// What dev/setup.sh fetched into the project that one of these places is in.
fn fetched(name: &str, mut places: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let program = PathBuf::from(".taskrow/pgbench").join(name);
    places.find_map(|place| place.ancestors().map(|dir| dir.join(&program)).find(|path| path.is_file()))
}

/// A snapshot that a session holds, so that nothing that dies after it can be removed, until this is dropped.
pub(crate) struct Snapshot {
    _session: Link,
}

impl Snapshot {
    /// Takes it.
    pub(crate) async fn hold(url: &str) -> Result<Self, Failure> {
        let mut session = Database::from_url(url, "bench")?.link(SESSION);
        execute(&mut session, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class".to_owned())
            .await
            .map_err(Failure::software)?;
        Ok(Self { _session: session })
    }
}

/// A database that is dropped with this, on a server that may be ours.
pub(crate) struct OwnDatabase {
    server: Option<Server>,
    admin: Link,
    name: String,
    url: String,
}

impl OwnDatabase {
    /// A new and empty one.
    pub(crate) async fn create(setup: &Setup) -> Result<Self, Failure> {
        let (server, admin_url) = setup.server().await?;
        let mut admin = Database::from_url(&admin_url, "bench")?.link(SESSION);
        let name = format!("taskrow_bench_{}_{:08x}", std::process::id(), fastrand::u32(..));
        execute(&mut admin, format!("CREATE DATABASE {name}")).await.map_err(Failure::unavailable)?;
        let mut url = Url::parse(&admin_url).map_err(|error| Failure::usage(format!("--database-url: {error}")))?;
        url.set_path(&name);
        Ok(Self { server, admin, name, url: url.into() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        if self.server.is_none() {
            let drop = execute(&mut self.admin, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
            let _ = block_in_place(|| Handle::current().block_on(drop));
        }
    }
}

async fn execute(link: &mut Link, sql: String) -> Result<(), LinkError> {
    link.run(async |connection| connection.batch_execute(&sql).await).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_found_from_within_the_project() {
        let project = tempfile::tempdir().unwrap();
        let (inside, programs) = (project.path().join("bench"), project.path().join(".taskrow/pgbench"));
        let find = || fetched("pgbench", [inside.clone()].into_iter());
        assert_eq!(find(), None);
        std::fs::create_dir_all(&programs).unwrap();
        std::fs::write(programs.join("pgbench"), "").unwrap();
        assert_eq!(find(), Some(programs.join("pgbench")));
    }
}
