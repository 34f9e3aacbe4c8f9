//! A Redis that a test looks into and harms.

use std::time::Duration;

use dispatch::DispatchArgs;
use local_redis::{Installation, Server};
use redis::{
    FromRedisValue, Value,
    streams::{StreamInfoConsumersReply, StreamPendingReply},
};
use tokio::task::block_in_place;
use worker::WorkerConfig;

use crate::support::{
    backend::{self, Backend},
    eventually,
    queue::{Queue, connect_to},
    worker::{Servers, config},
};

/// The stream of the lane that most tests use.
pub(crate) const STREAM: &str = "taskrow:default#echo";
/// The consumer group in each stream.
const GROUP: &str = "workers";

/// Finds nothing by itself, but for one look at the table when it starts.
pub(crate) fn told_only() -> WorkerConfig {
    WorkerConfig { poll_interval: Duration::from_secs(3600), wakeups: false, ..config() }
}

/// Waits until the last statement of so many workers' claimers was a look at the table. A connection is idle with that statement also between
/// preparing and running it, for a moment: it must have been for longer.
pub(crate) async fn have_looked(queue: &Queue, workers: i64) {
    let claimers = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%claimer'";
    let have_run =
        "state = 'idle' AND query LIKE '%segments AS %' AND clock_timestamp() - state_change > interval '500 ms'";
    queue.counts(workers, &format!("SELECT count(*) {claimers} AND {have_run}")).await;
}

pub(crate) struct Redis(Server);

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these configuration directives.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let installation = Installation::find().unwrap_or_else(|error| panic!("test redis: {error}"));
        Self::of(&installation, settings)
    }

    pub(crate) fn of(installation: &Installation, settings: &[(&str, &str)]) -> Self {
        let server = block_in_place(|| Server::of(installation, settings));
        Self(server.unwrap_or_else(|error| panic!("test redis: {error}")))
    }

    /// A queue whose tasks are told here.
    pub(crate) async fn queue(&self) -> Queue {
        Queue::with(Backend::of(self.args())).await
    }

    pub(crate) fn args(&self) -> DispatchArgs {
        backend::redis(&self.address())
    }

    pub(crate) fn address(&self) -> String {
        self.0.address()
    }

    pub(crate) fn kill(&mut self) {
        block_in_place(|| self.0.kill()).expect("dies");
    }

    /// After a kill: on the same port, and empty.
    pub(crate) fn start_again(&mut self) {
        block_in_place(|| self.0.start_again()).expect("starts again");
    }

    pub(crate) fn pause(&self) {
        block_in_place(|| self.0.pause()).expect("stands still");
    }

    pub(crate) fn resume(&self) {
        self.0.resume().expect("goes on");
    }

    /// Runs a command by a connection of its own.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.ask_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()).await
    }

    pub(crate) async fn ask_bytes<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let client = redis::Client::open(format!("redis://{}", self.address())).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn ok(&self, words: &[&str]) {
        self.ask::<Value>(words).await;
    }

    /// A number out of `INFO`.
    pub(crate) async fn info(&self, name: &str) -> u64 {
        let info: String = self.ask(&["INFO", "everything"]).await;
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("{name} in {info}")).trim().parse().expect("a number")
    }

    /// The streams there are.
    pub(crate) async fn streams(&self) -> Vec<String> {
        self.ask(&["KEYS", "taskrow:*#*"]).await
    }

    /// Waits until no stream holds an entry and nothing is unacknowledged.
    pub(crate) async fn is_empty(&self) {
        eventually("the streams are empty", async || {
            for stream in self.streams().await {
                let length: u64 = self.ask(&["XLEN", &stream]).await;
                let pending: StreamPendingReply = self.ask(&["XPENDING", &stream, GROUP]).await;
                if length + pending.count() as u64 > 0 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// So many entries of a stream are delivered and not acknowledged.
    pub(crate) async fn pending(&self, stream: &str) -> usize {
        self.ask::<StreamPendingReply>(&["XPENDING", stream, GROUP]).await.count()
    }

    /// The names of a stream's consumers.
    pub(crate) async fn consumers(&self, stream: &str) -> Vec<String> {
        let reply: StreamInfoConsumersReply = self.ask(&["XINFO", "CONSUMERS", stream, GROUP]).await;
        reply.consumers.into_iter().map(|consumer| consumer.name).collect()
    }
}

/// What a worker of this process connects to, when Redis is there.
pub(crate) fn servers_with(queue: &Queue, args: &DispatchArgs) -> Servers {
    Servers { database: connect_to(&queue.worker_url), dispatch: args.dispatch().expect("good settings") }
}
