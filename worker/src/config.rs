//! Settings of a worker.
//!
//! Environment: `WORKER_CONCURRENCY`, `WORKER_QUEUES`, `WORKER_BIND`, `WORKER_NAME`, `WORKER_LEASE_TTL`,
//! `WORKER_HEARTBEAT_INTERVAL`, `WORKER_POLL_INTERVAL`, `WORKER_WAKEUPS`, `WORKER_PREFETCH`, `WORKER_DRAIN_BUDGET`,
//! `WORKER_CANCEL_GRACE`, `WORKER_RETRY_BASE`, `WORKER_RETRY_CAP`, `WORKER_RESULT_LIMIT`, `WORKER_HANDLERS`. Durations as `30s`, `5m`, `1h 30m`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use humantime::parse_duration;
use queue::task::Name;
use service::exit::Failure;

use crate::{
    builtin::{HandlersFile, with_builtin_handlers},
    retry::RetrySchedule,
    worker::{Builder, Worker},
};

/// Tasks run at once, unless told otherwise; the tutorial's number.
const CONCURRENCY: u32 = 5;
const CONCURRENCY_LIMIT: u32 = 10_000;
const LEASE_TTL: Duration = Duration::from_secs(30);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_secs(5);
const DRAIN_BUDGET: Duration = Duration::from_secs(35);
const CANCEL_GRACE: Duration = Duration::from_secs(5);
const PREFETCH_LIMIT: u32 = 1000;
const RESULT_LIMIT: usize = 1024 * 1024;
/// A lease must outlive so many missed heartbeats.
const HEARTBEATS_PER_TTL: u32 = 3;
/// Intervals beyond this are mistakes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// More claimed ahead would only wait.
const PREFETCH_MAX: u32 = 100_000;
/// What all results on their way to the database may take together.
const RESULT_MAX: usize = 64 * 1024 * 1024;

/// Flags and environment of the `worker` binary.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Worker")]
pub struct WorkerArgs {
    /// Tasks run at once.
    #[arg(id = "worker-concurrency", long, env = "WORKER_CONCURRENCY", default_value_t = CONCURRENCY)]
    pub concurrency: u32,
    /// Queues to take tasks from, separated by commas.
    #[arg(id = "worker-queues", long, env = "WORKER_QUEUES", value_delimiter = ',', default_value = "default")]
    pub queues: Vec<Name>,
    /// Where /live, /ready and /metrics are served.
    #[arg(id = "worker-bind", long, env = "WORKER_BIND", default_value = "0.0.0.0:8081")]
    pub bind: SocketAddr,
    /// Name shown to operators; the host's when absent. Not an identity.
    #[arg(id = "worker-name", long, env = "WORKER_NAME")]
    pub name: Option<String>,
    /// How old this worker's heartbeat may get before others take its tasks over. Shorter: faster rescue after a crash, but
    /// a worker that is paused or cut off for that long loses the work under way.
    #[arg(id = "worker-lease-ttl", long, env = "WORKER_LEASE_TTL", value_parser = parse_duration, default_value = "30s")]
    pub lease_ttl: Duration,
    /// Time between heartbeats; at most a third of the lease TTL.
    #[arg(id = "worker-heartbeat-interval", long, env = "WORKER_HEARTBEAT_INTERVAL", value_parser = parse_duration, default_value = "5s")]
    pub heartbeat_interval: Duration,
    /// How late work is found when a wakeup was lost.
    #[arg(id = "worker-poll-interval", long, env = "WORKER_POLL_INTERVAL", value_parser = parse_duration, default_value = "5s")]
    pub poll_interval: Duration,
    /// Listen for wakeups. Off: poll only, for databases behind a transaction pooler.
    #[arg(id = "worker-wakeups", long, env = "WORKER_WAKEUPS", default_value_t = true, action = clap::ArgAction::Set)]
    pub wakeups: bool,
    /// Most tasks claimed ahead of the ones that run. How many really are depends on how long tasks take.
    #[arg(id = "worker-prefetch", long, env = "WORKER_PREFETCH", default_value_t = PREFETCH_LIMIT)]
    pub prefetch: u32,
    /// How long running tasks may go on after SIGTERM. Must be shorter than the grace period of the pod.
    #[arg(id = "worker-drain-budget", long, env = "WORKER_DRAIN_BUDGET", value_parser = parse_duration, default_value = "35s")]
    pub drain_budget: Duration,
    /// How long a handler may go on after its task was cancelled.
    #[arg(id = "worker-cancel-grace", long, env = "WORKER_CANCEL_GRACE", value_parser = parse_duration, default_value = "5s")]
    pub cancel_grace: Duration,
    /// Longest wait before the second attempt; doubles with each further one.
    #[arg(id = "worker-retry-base", long, env = "WORKER_RETRY_BASE", value_parser = parse_duration, default_value = "5s")]
    pub retry_base: Duration,
    /// Longest wait before any attempt.
    #[arg(id = "worker-retry-cap", long, env = "WORKER_RETRY_CAP", value_parser = parse_duration, default_value = "1h")]
    pub retry_cap: Duration,
    /// Largest result, in bytes; a larger one fails its task.
    #[arg(id = "worker-result-limit", long, env = "WORKER_RESULT_LIMIT", default_value_t = RESULT_LIMIT)]
    pub result_limit: usize,
    /// File (TOML) of the kinds this worker runs besides `echo` and `sleep`; docs/kinds.md says what it may hold.
    #[arg(id = "worker-handlers", long, env = "WORKER_HANDLERS", value_name = "FILE")]
    pub handlers: Option<PathBuf>,
}

/// Checked settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Tasks run at once.
    pub concurrency: u32,
    /// Queues to take tasks from.
    pub queues: Vec<Name>,
    /// Name shown to operators.
    pub name: String,
    /// How old the heartbeat may get.
    pub lease_ttl: Duration,
    /// Time between heartbeats.
    pub heartbeat_interval: Duration,
    /// Time between polls.
    pub poll_interval: Duration,
    /// Whether to listen for wakeups.
    pub wakeups: bool,
    /// Most tasks claimed ahead.
    pub prefetch: u32,
    /// How long running tasks may go on after the stop.
    pub drain_budget: Duration,
    /// How long a cancelled handler may go on.
    pub cancel_grace: Duration,
    /// Waits between attempts.
    pub retry: RetrySchedule,
    /// Largest result in bytes.
    pub result_limit: usize,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            queues: vec![Name::new("default").expect("a good name")],
            name: host_name(),
            lease_ttl: LEASE_TTL,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            poll_interval: POLL_INTERVAL,
            wakeups: true,
            prefetch: PREFETCH_LIMIT,
            drain_budget: DRAIN_BUDGET,
            cancel_grace: CANCEL_GRACE,
            retry: RetrySchedule::default(),
            result_limit: RESULT_LIMIT,
        }
    }
}

impl WorkerArgs {
    /// A worker of the built-in kinds and of those in the file.
    pub fn builder(&self) -> Result<Builder, Failure> {
        let builder = with_builtin_handlers(Worker::builder());
        match &self.handlers {
            Some(file) => HandlersFile::read(file)?.register(builder),
            None => Ok(builder),
        }
    }

    /// Checks the settings and how they relate.
    pub fn config(&self) -> Result<WorkerConfig, Failure> {
        let check = |holds: bool, rule: &str| if holds { Ok(()) } else { Err(Failure::usage(rule)) };
        check(
            (1..=CONCURRENCY_LIMIT).contains(&self.concurrency),
            &format!("WORKER_CONCURRENCY must be 1 to {CONCURRENCY_LIMIT}"),
        )?;
        check(self.heartbeat_interval >= Duration::from_millis(10), "WORKER_HEARTBEAT_INTERVAL must be at least 10ms")?;
        check(
            self.lease_ttl / HEARTBEATS_PER_TTL >= self.heartbeat_interval,
            &format!("WORKER_LEASE_TTL must be at least {HEARTBEATS_PER_TTL} times WORKER_HEARTBEAT_INTERVAL"),
        )?;
        check(self.lease_ttl <= LONGEST, "WORKER_LEASE_TTL must be at most 1day")?;
        check(self.poll_interval >= Duration::from_millis(10), "WORKER_POLL_INTERVAL must be at least 10ms")?;
        check(self.poll_interval <= LONGEST, "WORKER_POLL_INTERVAL must be at most 1day")?;
        check(self.drain_budget <= LONGEST, "WORKER_DRAIN_BUDGET must be at most 1day")?;
        check(self.cancel_grace <= LONGEST, "WORKER_CANCEL_GRACE must be at most 1day")?;
        check(self.prefetch <= PREFETCH_MAX, &format!("WORKER_PREFETCH must be at most {PREFETCH_MAX}"))?;
        check(self.retry_base <= self.retry_cap, "WORKER_RETRY_BASE must not exceed WORKER_RETRY_CAP")?;
        check(
            (1..=RESULT_MAX).contains(&self.result_limit),
            &format!("WORKER_RESULT_LIMIT must be 1 to {RESULT_MAX}"),
        )?;
        let mut queues = self.queues.clone();
        queues.sort_unstable();
        queues.dedup();
        Ok(WorkerConfig {
            concurrency: self.concurrency,
            queues,
            name: self.name.clone().unwrap_or_else(host_name),
            lease_ttl: self.lease_ttl,
            heartbeat_interval: self.heartbeat_interval,
            poll_interval: self.poll_interval,
            wakeups: self.wakeups,
            prefetch: self.prefetch,
            drain_budget: self.drain_budget,
            cancel_grace: self.cancel_grace,
            retry: RetrySchedule { base: self.retry_base, cap: self.retry_cap },
            result_limit: self.result_limit,
        })
    }
}

pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
