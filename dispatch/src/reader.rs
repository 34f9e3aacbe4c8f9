//! Reads a worker's streams for its [`crate::Source`], acknowledges, and keeps the streams in order.
//!
//! A worker is a consumer named by its id, new at each start. What was delivered and not acknowledged is its *pending* entries: read again
//! after a lost connection, put back when the worker leaves, taken over by others when it died. An entry is acknowledged when the claim of its
//! batch has committed; from then on the lease, and rescue, take care.

use std::{collections::BTreeSet, time::Duration};

use queue::{BatchId, task::Lane, workers::WorkerId};
use redis::{
    AsyncCommands, ErrorKind, Pipeline, RedisError,
    aio::MultiplexedConnection,
    streams::{StreamAutoClaimOptions, StreamInfoConsumersReply, StreamReadOptions},
};
use service::backoff::{Backoff, jittered};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    complaints::Complaints,
    link::{Link, LinkError, PATIENCE, Redis},
    metrics::Metrics,
    publisher::append,
    source::{Command, Delivery, SharedState, StreamState},
    streams::{Class, Entry, GROUP, News, TTL_S, key},
};

/// How long a read waits at the server. Also bounds how late a lost connection is noticed.
const BLOCK: Duration = Duration::from_secs(2);
/// Time between two looks for entries of the dead.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Pending entries this old are taken over. Longer than any claim may take.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// Consumers that did nothing for so long and hold nothing are removed. One that lives makes itself anew.
const CONSUMER_TTL: Duration = Duration::from_secs(600);
/// Most pending entries read, or taken over, at once per stream.
const PAGE: usize = 1000;
/// Longest that leaving may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// See the module.
pub struct Reader(Option<Work>);

struct Work {
    link: Link,
    consumer: String,
    keys: Keys,
    commands: mpsc::Receiver<Command>,
    deliveries: mpsc::Sender<Delivery>,
    state: SharedState,
    metrics: Metrics,
    /// Whether the groups are there and all pending entries of this consumer were read, on the present connection.
    is_prepared: bool,
    keep_at: Instant,
    complaints: Complaints,
    has_warned_of_foreign: bool,
}

/// Entries by the number of their stream.
type Entries = Vec<(usize, Vec<Entry>)>;

/// The streams of a worker's lanes, class by class.
struct Keys {
    all: Vec<String>,
    /// How many of one class there are.
    lanes: usize,
}

impl Reader {
    pub(crate) fn idle() -> Self {
        Self(None)
    }

    pub(crate) fn new(
        redis: &Redis,
        worker: WorkerId,
        lanes: &[Lane],
        commands: mpsc::Receiver<Command>,
        deliveries: mpsc::Sender<Delivery>,
        state: SharedState,
        metrics: Metrics,
    ) -> Self {
        let all = Class::ALL.iter().flat_map(|class| lanes.iter().map(|lane| key(lane, *class))).collect();
        Self(Some(Work {
            link: redis.link(),
            consumer: format!("worker-{}", worker.0),
            keys: Keys { all, lanes: lanes.len() },
            commands,
            deliveries,
            state,
            metrics,
            is_prepared: false,
            keep_at: Instant::now() + jittered(KEEP_INTERVAL),
            complaints: Complaints::default(),
            has_warned_of_foreign: false,
        }))
    }

    /// Works until `stop`; then puts back what is not acknowledged, and leaves.
    pub async fn run(self, stop: CancellationToken) {
        let Some(mut work) = self.0 else { return stop.cancelled().await };
        if work.keys.all.is_empty() {
            return stop.cancelled().await;
        }
        let _ = stop.run_until_cancelled(work.obey()).await;
        // The connection may be in the middle of a read, whose answer nobody waits for.
        work.link = work.link.anew();
        let _ = time::timeout(LEAVE_LIMIT, work.leave()).await;
    }
}

impl Work {
    /// Does what the source says, until it is gone.
    async fn obey(&mut self) {
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Read(count) => {
                    let delivery = self.read_until_some(count).await;
                    if self.deliveries.send(delivery).await.is_err() {
                        return;
                    }
                }
                // Failed: the entries stay pending, come again and are found stale.
                Command::Settle(delivery, left) => {
                    let settled = settle(&self.keys, &delivery, &left);
                    let _ =
                        self.link.run(PATIENCE, async |connection| settled.query_async::<()>(connection).await).await;
                }
            }
        }
    }

    async fn read_until_some(&mut self, count: usize) -> Delivery {
        let mut backoff = Backoff::default();
        loop {
            match self.read(count).await {
                Ok(delivery) => {
                    backoff.reset();
                    if self.complaints.are_over() {
                        info!("reading from Redis");
                    }
                    if !delivery.entries.is_empty() {
                        self.state.set(StreamState::Flowing);
                        return delivery;
                    }
                }
                Err(LinkError::Redis(error)) if is_without_group(&error) => self.is_prepared = false,
                Err(error) => {
                    self.state.set(StreamState::Away);
                    if self.complaints.are_news(&error) {
                        warn!(%error, "cannot read from Redis; claiming from the table");
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    /// Reads once. Empty: there was nothing for as long as a read blocks.
    async fn read(&mut self, count: usize) -> Result<Delivery, LinkError> {
        self.is_prepared &= self.link.is_open();
        let (keys, consumer, state) = (&self.keys, &self.consumer, &self.state);
        if !self.is_prepared {
            let pending = self.link.run(PATIENCE, async |connection| {
                prepare(connection, keys).await?;
                pending(connection, keys, consumer).await
            });
            let pending = pending.await?;
            // There may be more of it, to be read when this is settled.
            self.is_prepared = pending.is_empty();
            if !pending.is_empty() {
                return Ok(self.delivery(pending));
            }
        }
        if self.keep_at <= Instant::now() {
            self.keep_at = Instant::now() + jittered(KEEP_INTERVAL);
            let abandoned = self
                .link
                .run(PATIENCE, async |connection| keep(connection, keys, consumer, CONSUMER_TTL).await)
                .await?;
            if !abandoned.is_empty() {
                self.metrics.taken_over.inc_by(abandoned.iter().map(|(_, entries)| entries.len() as u64).sum());
                return Ok(self.delivery(abandoned));
            }
        }
        let read =
            self.link.run(BLOCK + PATIENCE, async |connection| read(connection, keys, consumer, count, state).await);
        let read = read.await?;
        Ok(self.delivery(read))
    }

    fn delivery(&mut self, read: Entries) -> Delivery {
        let mut delivery = Delivery::default();
        for (stream, entries) in read {
            for entry in entries {
                if entry.news == News::Foreign {
                    self.metrics.foreign.inc();
                    if !std::mem::replace(&mut self.has_warned_of_foreign, true) {
                        warn!(
                            stream = self.keys.all[stream],
                            id = entry.id,
                            "an entry is none of ours: acknowledged and ignored, as will be further ones"
                        );
                    }
                }
                delivery.batches.extend(entry.batch());
                delivery.entries.entry(stream).or_default().push(entry);
            }
        }
        delivery
    }

    /// Puts back what is pending, and takes this consumer off the streams.
    async fn leave(&mut self) {
        let mut is_left = false;
        while !is_left {
            let (keys, consumer) = (&self.keys, &self.consumer);
            let read = self.link.run(LEAVE_LIMIT, async |connection| pending(connection, keys, consumer).await).await;
            let Ok(read) = read else { return };
            is_left = read.is_empty();
            let delivery = self.delivery(read);
            let left = delivery.batches.clone();
            let mut pipeline = settle(&self.keys, &delivery, &left);
            for key in self.keys.all.iter().filter(|_| is_left) {
                pipeline.cmd("XGROUP").arg("DELCONSUMER").arg(key).arg(GROUP).arg(&self.consumer).ignore();
            }
            let done = self.link.run(LEAVE_LIMIT, async |connection| pipeline.query_async::<()>(connection).await);
            if done.await.is_err() {
                return;
            }
        }
    }
}

impl Keys {
    fn number(&self, key: &str) -> Option<usize> {
        self.all.iter().position(|known| known == key)
    }

    /// The number of the stream for rests of another one.
    fn rest_of(&self, number: usize) -> usize {
        let (class, lane) = (number / self.lanes, number % self.lanes);
        (class - class % 2) * self.lanes + lane
    }

    fn sort(&self, reply: Option<Vec<(String, Vec<Entry>)>>) -> Entries {
        let number = |(key, entries): (String, Vec<Entry>)| Some((self.number(&key)?, entries));
        reply.into_iter().flatten().filter_map(number).filter(|(_, entries)| !entries.is_empty()).collect()
    }
}

/// Makes streams and groups that are not there. A group starts at the stream's beginning: what was added before it counts.
async fn prepare(connection: &mut MultiplexedConnection, keys: &Keys) -> Result<(), RedisError> {
    for key in &keys.all {
        let made: Result<(), RedisError> = connection.xgroup_create_mkstream(key, GROUP, "0").await;
        match made {
            Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
            _ => connection.expire(key, TTL_S).await?,
        }
    }
    Ok(())
}

/// The entries delivered to this consumer and not acknowledged, a page per stream.
async fn pending(connection: &mut MultiplexedConnection, keys: &Keys, consumer: &str) -> Result<Entries, RedisError> {
    let options = StreamReadOptions::default().group(GROUP, consumer).count(PAGE);
    let ids = vec!["0"; keys.all.len()];
    Ok(keys.sort(connection.xread_options(&keys.all, &ids, &options).await?))
}

/// Up to about `count` new entries, class by class; waits for one if there is none.
async fn read(
    connection: &mut MultiplexedConnection,
    keys: &Keys,
    consumer: &str,
    count: usize,
    state: &SharedState,
) -> Result<Entries, RedisError> {
    // What was claimed is deleted, so a stream that is not empty has something new, or something that is about to be claimed.
    let mut lengths = Pipeline::new();
    for key in &keys.all {
        lengths.xlen(key);
    }
    let lengths: Vec<usize> = lengths.query_async(connection).await?;
    let mut found = Vec::new();
    let mut left = count.max(1);
    for (class, lengths) in keys.all.chunks(keys.lanes).zip(lengths.chunks(keys.lanes)) {
        let filled: Vec<_> = class.iter().zip(lengths).filter(|(_, length)| **length > 0).map(|(key, _)| key).collect();
        if filled.is_empty() || left == 0 {
            continue;
        }
        let options = options(consumer, left, filled.len());
        let entries = keys.sort(connection.xread_options(&filled, &vec![">"; filled.len()], &options).await?);
        left = left.saturating_sub(entries.iter().map(|(_, entries)| entries.len()).sum());
        found.extend(entries);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    state.set(StreamState::Empty);
    let blocking = options(consumer, count, keys.lanes).block(BLOCK.as_millis() as usize);
    Ok(keys.sort(connection.xread_options(&keys.all, &vec![">"; keys.all.len()], &blocking).await?))
}

/// For about `count` entries of so many streams: the limit is per stream.
fn options(consumer: &str, count: usize, streams: usize) -> StreamReadOptions {
    StreamReadOptions::default().group(GROUP, consumer).count(count.div_ceil(streams.max(1)).max(1))
}

/// Takes over what dead consumers did not acknowledge, removes consumers that are gone, and keeps the streams from expiring.
async fn keep(
    connection: &mut MultiplexedConnection,
    keys: &Keys,
    consumer: &str,
    consumer_ttl: Duration,
) -> Result<Entries, RedisError> {
    let mut found = Vec::new();
    for (number, key) in keys.all.iter().enumerate() {
        let options = StreamAutoClaimOptions::default().count(PAGE);
        let abandoned_ms = ABANDONED_AFTER.as_millis() as usize;
        let (_, claimed, _): (String, Vec<Entry>, Vec<String>) =
            connection.xautoclaim_options(key, GROUP, consumer, abandoned_ms, "0-0", options).await?;
        if !claimed.is_empty() {
            found.push((number, claimed));
        }
        let consumers: StreamInfoConsumersReply = connection.xinfo_consumers(key, GROUP).await?;
        let mut pipeline = Pipeline::new();
        pipeline.expire(key, TTL_S).ignore();
        for gone in consumers.consumers {
            if gone.name != consumer && gone.pending == 0 && gone.idle as u128 > consumer_ttl.as_millis() {
                pipeline.cmd("XGROUP").arg("DELCONSUMER").arg(key).arg(GROUP).arg(gone.name).ignore();
            }
        }
        pipeline.query_async::<()>(connection).await?;
    }
    Ok(found)
}

/// Adds what is left again, then acknowledges and deletes the entries. In this order: twice is harmless.
fn settle(keys: &Keys, delivery: &Delivery, left: &BTreeSet<BatchId>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    let mut left = left.clone();
    for (stream, entries) in &delivery.entries {
        let key = &keys.all[keys.rest_of(*stream)];
        for batch in entries.iter().filter_map(Entry::batch) {
            if left.remove(&batch) {
                append(&mut pipeline, key, batch);
            }
        }
    }
    for (stream, entries) in &delivery.entries {
        let key = &keys.all[*stream];
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        pipeline.xack(key, GROUP, &ids).ignore();
        pipeline.xdel(key, &ids).ignore();
    }
    pipeline
}

/// The stream or its group is gone: flushed, or expired.
fn is_without_group(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Extension && matches!(error.code(), Some("NOGROUP" | "UNBLOCKED"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use local_redis::Server;

    use super::*;

    #[tokio::test]
    async fn consumers_that_did_nothing_for_long_and_hold_nothing_are_removed() {
        let server = Server::start().unwrap_or_else(|error| panic!("{error}"));
        let info = redis::IntoConnectionInfo::into_connection_info(format!("redis://{}", server.address())).unwrap();
        let mut connection = Redis::new(info, None).unwrap().link().connect().await.unwrap();
        let keys = Keys { all: vec!["stream".to_owned()], lanes: 1 };
        prepare(&mut connection, &keys).await.unwrap();
        for consumer in ["me", "idle", "holder"] {
            let _: bool = connection.xgroup_createconsumer("stream", GROUP, consumer).await.unwrap();
        }
        let _: String = connection.xadd("stream", "*", &[("batch", "")]).await.unwrap();
        let read = StreamReadOptions::default().group(GROUP, "holder");
        let _: redis::Value = connection.xread_options(&["stream"], &[">"], &read).await.unwrap();
        let consumers = async |connection: &mut MultiplexedConnection| -> HashSet<String> {
            let reply: StreamInfoConsumersReply = connection.xinfo_consumers("stream", GROUP).await.unwrap();
            reply.consumers.into_iter().map(|consumer| consumer.name).collect()
        };

        assert!(keep(&mut connection, &keys, "me", CONSUMER_TTL).await.unwrap().is_empty());
        assert_eq!(consumers(&mut connection).await.len(), 3, "nobody did nothing for so long");
        let deadline = Instant::now() + Duration::from_secs(30);
        while consumers(&mut connection).await.contains("idle") {
            assert!(Instant::now() < deadline, "never removed");
            assert!(keep(&mut connection, &keys, "me", Duration::ZERO).await.unwrap().is_empty());
        }
        assert_eq!(consumers(&mut connection).await, ["me".to_owned(), "holder".to_owned()].into());
    }
}
