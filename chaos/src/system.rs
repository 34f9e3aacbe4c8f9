//! What is tried: Postgres, PgBouncer, perhaps Redis, and the binaries, each behind a network of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use local_process::port;
use service::exit::Failure;
use tokio::{
    sync::Mutex,
    task::block_in_place,
    time::{self, Instant},
};

use crate::{admin::Admin, binaries::Binaries, process::Process, proxy::Proxy};

/// Tasks at once, of each worker: very different ones.
const CONCURRENCY: [u32; 4] = [2, 8, 24, 64];
/// Apis.
const APIS: usize = 2;
/// The queues that workers take from.
pub const QUEUES: [&str; 3] = ["default", "bulk", "brief"];
/// The owner of the schema, and those who log in for api and workers, with no more rights than they need.
const OWNER: &str = "app";
const API: &str = "taskrow_api";
const WORKER: &str = "taskrow_worker";
/// Longest that all of them may take to get ready.
const START_LIMIT: Duration = Duration::from_secs(60);
/// As durable as in production. Few connections, so that they can be exhausted.
const SETTINGS: [(&str, &str); 7] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("max_connections", "100"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "2GB"),
    // After a crash the server comes back by itself, as a pod does.
    ("restart_after_crash", "on"),
];

/// How a run is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where logs and histories go.
    pub dir: PathBuf,
    /// What is run.
    pub binaries: Binaries,
    /// Whether Redis tells workers what to claim.
    pub redis: bool,
    /// Whether all workers are the `worker` binary as it is, without the kind `probe`, and nothing is pooled: what the previous release can do.
    pub plain: bool,
    /// Of the workers.
    pub lease_ttl: Duration,
}

/// A process with its ways to Postgres and Redis.
#[derive(Debug)]
pub struct Node {
    /// Locked while a fault has it.
    pub process: Mutex<Process>,
    /// To Postgres, past the pooler.
    pub network: Proxy,
    /// To Redis.
    pub redis_network: Option<Proxy>,
}

/// All of it. What is running ends when this is dropped.
#[derive(Debug)]
pub struct System {
    /// How it was set up.
    pub settings: Settings,
    /// The server; locked while a fault has it.
    pub postgres: Mutex<local_pg::Server>,
    /// A way into it.
    pub admin: Admin,
    /// As the owner of the schema, past every proxy.
    pub owner_url: String,
    /// PgBouncer, in transaction mode, for what is pooled.
    pub pooler: Mutex<local_pg::Pooler>,
    /// From the pooler to Postgres.
    pub pooler_network: Proxy,
    /// In Redis mode.
    pub redis: Option<Mutex<local_redis::Server>>,
    /// The apis.
    pub apis: Vec<Node>,
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
    /// The workers. The last one is the `worker` binary; the others are it with one more kind, unless the run is a plain one.
    pub workers: Vec<Node>,
}

impl System {
    /// Starts everything, with a migrated and audited database, and waits until it is ready.
    pub async fn start(settings: Settings) -> Result<Self, Failure> {
        fs::create_dir_all(&settings.dir).map_err(Failure::software)?;
        let installation = local_pg::Installation::find().map_err(Failure::unavailable)?;
        let server =
            block_in_place(|| local_pg::Server::throwaway(&installation, &SETTINGS)).map_err(Failure::unavailable)?;
        let password = format!("{:016x}", fastrand::u64(..));
        for role in [OWNER, API, WORKER] {
            let sql = format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'");
            Admin::new(server.url("postgres")).run(&sql).await?;
        }
        Admin::new(server.url("postgres")).run(&format!("CREATE DATABASE app OWNER {OWNER}")).await?;
        let admin = Admin::new(server.url("app"));
        let url = |role: &str, address: &str| format!("postgresql://{role}:{password}@{address}/app");
        let owner_url = url(OWNER, &format!("127.0.0.1:{}", server.port()));

        let roles = (!settings.plain).then_some((API, WORKER));
        settings.binaries.migrate(&owner_url, &settings.dir, roles).await?;
        admin.run(include_str!("audit.sql")).await?;

        let postgres_at = format!("127.0.0.1:{}", server.port());
        let pooler_network = Proxy::before(postgres_at.clone()).await.map_err(Failure::software)?;
        let way = pooler_network.address().to_string();
        let pooler = block_in_place(|| local_pg::Pooler::before(&way, &[(API, &password), (WORKER, &password)]))
            .map_err(Failure::unavailable)?;
        let pooler_at = pooler.address();
        let redis = if settings.redis {
            Some(block_in_place(local_redis::Server::start).map_err(Failure::unavailable)?)
        } else {
            None
        };
        let redis_at = redis.as_ref().map(local_redis::Server::address);

        let ways = Ways { settings: &settings, postgres_at, pooler_at, redis_at, url: &url };
        let (mut apis, mut addresses, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..APIS {
            let address = free_address()?;
            apis.push(ways.api(number, address).await?);
            addresses.push(address);
        }
        for (number, concurrency) in CONCURRENCY.into_iter().enumerate() {
            workers.push(ways.worker(number, concurrency).await?);
        }
        let system = Self {
            postgres: Mutex::new(server),
            admin,
            owner_url,
            pooler: Mutex::new(pooler),
            pooler_network,
            redis: redis.map(Mutex::new),
            apis,
            addresses,
            workers,
            settings,
        };
        for node in system.nodes() {
            node.process.lock().await.start()?;
        }
        system.ready().await?;
        Ok(system)
    }

    /// Every api and worker.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.apis.iter().chain(&self.workers)
    }

    /// Waits until both apis are ready and all workers are on the list.
    pub async fn ready(&self) -> Result<(), Failure> {
        let client = reqwest::Client::new();
        let deadline = Instant::now() + START_LIMIT;
        let alive = "SELECT count(*) FROM taskrow.workers WHERE dead_at IS NULL";
        loop {
            let mut missing = Vec::new();
            for address in &self.addresses {
                let answer = client.get(format!("http://{address}/ready")).timeout(Duration::from_secs(5)).send().await;
                if !answer.is_ok_and(|answer| answer.status().is_success()) {
                    missing.push(format!("the api at {address} is not ready"));
                }
            }
            let workers = self.admin.number(alive).await?;
            if workers < self.workers.len() as i64 {
                missing.push(format!("{workers} workers are alive"));
            }
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let logs = self.settings.dir.display();
                return Err(Failure::unavailable(format!(
                    "not within {START_LIMIT:?}: {}; logs are in {logs}",
                    missing.join(", ")
                )));
            }
            time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing is open any more. False: something still is.
    pub async fn settled(&self, limit: Duration) -> Result<bool, Failure> {
        let open = "SELECT (EXISTS (SELECT FROM taskrow.ready) OR EXISTS (SELECT FROM taskrow.leases)
                            OR EXISTS (SELECT FROM taskrow.scheduled))::int::bigint";
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.admin.number(open).await? == 0 {
                return Ok(true);
            }
            time::sleep(Duration::from_millis(100)).await;
        }
        Ok(false)
    }
}

/// How processes reach what they need.
struct Ways<'a> {
    settings: &'a Settings,
    postgres_at: String,
    pooler_at: String,
    redis_at: Option<String>,
    url: &'a dyn Fn(&str, &str) -> String,
}

impl Ways<'_> {
    async fn api(&self, number: usize, address: SocketAddr) -> Result<Node, Failure> {
        let binary = self.settings.binaries.api.clone();
        let node = self.node(&format!("api-{number}"), API, &binary, &[]).await?;
        let mut process = node.process.lock().await;
        process.set("API_BIND", address.to_string());
        process.set("API_DRAIN_DELAY", "300ms");
        drop(process);
        Ok(node)
    }

    async fn worker(&self, number: usize, concurrency: u32) -> Result<Node, Failure> {
        let name = format!("worker-{number}");
        let is_stock = self.settings.plain || number + 1 == CONCURRENCY.len();
        let (binary, history) = (&self.settings.binaries, self.settings.dir.display().to_string());
        let node = if is_stock {
            self.node(&name, WORKER, &binary.worker, &[]).await?
        } else {
            self.node(&name, WORKER, &binary.chaos, &["worker", "--history", &history]).await?
        };
        let mut process = node.process.lock().await;
        let span = |part: f64| format!("{}ms", self.settings.lease_ttl.mul_f64(part).as_millis());
        for (variable, value) in [
            ("WORKER_NAME", name.clone()),
            ("WORKER_BIND", "127.0.0.1:0".to_owned()),
            ("WORKER_CONCURRENCY", concurrency.to_string()),
            ("WORKER_QUEUES", QUEUES.join(",")),
            ("WORKER_LEASE_TTL", span(1.0)),
            ("WORKER_HEARTBEAT_INTERVAL", span(1.0 / 6.0)),
            ("WORKER_POLL_INTERVAL", span(1.0 / 6.0)),
            ("WORKER_RETRY_BASE", "200ms".to_owned()),
            ("WORKER_RETRY_CAP", "2s".to_owned()),
            ("WORKER_DRAIN_BUDGET", "3s".to_owned()),
            ("WORKER_CANCEL_GRACE", "500ms".to_owned()),
        ] {
            process.set(variable, value);
        }
        drop(process);
        Ok(node)
    }

    async fn node(&self, name: &str, role: &str, binary: &Path, arguments: &[&str]) -> Result<Node, Failure> {
        let network = Proxy::before(self.postgres_at.clone()).await.map_err(Failure::software)?;
        let role = if self.settings.plain { OWNER } else { role };
        let direct_url = (self.url)(role, &network.address().to_string());
        let mut process = Process::new(name, binary, &self.settings.dir)?
            // The previous release mixes statements up behind a pooler.
            .variable(
                "DATABASE_URL",
                if self.settings.plain { direct_url.clone() } else { (self.url)(role, &self.pooler_at) },
            )
            .variable("DATABASE_DIRECT_URL", &direct_url)
            .variable("DATABASE_SSLMODE", "disable")
            .variable("LOG_FORMAT", "json");
        for argument in arguments {
            process = process.argument(argument);
        }
        let mut redis_network = None;
        if let Some(redis_at) = &self.redis_at {
            let network = Proxy::before(redis_at.clone()).await.map_err(Failure::software)?;
            process.set("QUEUE_BACKEND", "redis");
            process.set("REDIS_ADDR", network.address().to_string());
            redis_network = Some(network);
        }
        Ok(Node { process: Mutex::new(process), network, redis_network })
    }
}

/// Where nobody listens now. Below the range from which the system gives ports to others, so that it stays free while a process is away.
fn free_address() -> Result<SocketAddr, Failure> {
    let port = port::free().next().ok_or_else(|| Failure::unavailable("no port of 127.0.0.1 is free"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
