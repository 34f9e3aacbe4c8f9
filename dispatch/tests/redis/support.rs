//! Servers, publishers and workers of the tests.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dispatch::{Backend, Delivery, Dispatch, DispatchArgs, Publisher, Source};
use local_redis::{Installation, Product, Server};
use prometheus_client::{encoding::text::encode, registry::Registry};
use queue::{
    BatchId, Json, Lane, ReadyBatch,
    claim::{Claimed, ClaimedBatches, LeaseId},
    task::{DEFAULT_TIMEOUT, Name},
    wakeup::Notifier,
    workers::WorkerId,
};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Value};
use service::{readiness::Readiness, tasks::Tasks};
use tokio::{
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// Long enough for the slowest machine; nothing waits that long when all is well.
const DEADLINE: Duration = Duration::from_secs(60);
/// The stream of [`lane`] and priority 0.
pub(crate) const STREAM: &str = "taskrow:default#echo";
/// The consumer group of every stream.
pub(crate) const GROUP: &str = "workers";

/// Both products. Either may be missing on a machine, but not on one that tests.
pub(crate) const PRODUCTS: [Product; 2] = [Product::Redis, Product::Valkey];

/// A server, and what its users share.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) dispatch: Dispatch,
    tasks: Tasks,
    stop: CancellationToken,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::on(Server::start().unwrap_or_else(|error| panic!("{error}")))
    }

    pub(crate) fn of(product: Product) -> Self {
        let installation = Installation::find_product(product).unwrap_or_else(|error| panic!("{error}"));
        Self::on(Server::of(&installation, &[]).unwrap())
    }

    pub(crate) fn on(server: Server) -> Self {
        let dispatch = dispatch(&server.address());
        Self::with(server, dispatch)
    }

    pub(crate) fn with(server: Server, dispatch: Dispatch) -> Self {
        Self { server, dispatch, tasks: Tasks::new(), stop: CancellationToken::new() }
    }

    pub(crate) fn publishing(&self) -> Publishing {
        let woken = Arc::new(AtomicUsize::new(0));
        let publisher = self.dispatch.publisher(Notifier::default()).waking({
            let woken = woken.clone();
            move || _ = woken.fetch_add(1, Ordering::Relaxed)
        });
        self.tasks.spawn(publisher.clone().run(self.stop.clone()));
        Publishing { publisher, woken }
    }

    /// A worker of [`lane`].
    pub(crate) fn worker(&self, id: i64) -> Worker {
        self.worker_of(id, &[lane("echo")])
    }

    pub(crate) fn worker_of(&self, id: i64, lanes: &[Lane]) -> Worker {
        let (source, reader) = self.dispatch.source(WorkerId(id), lanes);
        let stop = self.stop.child_token();
        let running = self.tasks.spawn(reader.run(stop.clone()));
        Worker { source, stop, running }
    }

    pub(crate) fn watched(&self) -> Readiness {
        let readiness = Readiness::new(self.dispatch.dependencies());
        self.tasks.spawn(self.dispatch.clone().watch(readiness.clone(), self.stop.clone()));
        readiness
    }

    /// What a command answers to somebody else.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        ask(&self.server.address(), command).await
    }

    /// The value of a counter.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let mut registry = Registry::default();
        let metrics = self.dispatch.metrics().unwrap();
        metrics.register_publisher("", &mut registry);
        metrics.register_source("", &mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("redis_{name}_total ")));
        line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    }

    /// Waits until somebody waits for entries.
    pub(crate) async fn until_read(&self) {
        eventually("somebody waits for entries", async || {
            self.ask::<String>("INFO clients").await.contains("blocked_clients:1\r\n")
        })
        .await;
    }

    /// Breaks the connection of somebody who waits for entries.
    pub(crate) async fn kill_reader(&self) {
        let clients: String = self.ask("CLIENT LIST").await;
        let reader = clients.lines().find(|client| client.contains("cmd=xreadgroup")).unwrap();
        let id = reader.split(' ').find_map(|part| part.strip_prefix("id=")).unwrap();
        assert_eq!(self.ask::<usize>(&format!("CLIENT KILL ID {id}")).await, 1);
    }

    /// Entries delivered and not acknowledged.
    pub(crate) async fn pending(&self) -> usize {
        let answer: Value = self.ask(&format!("XPENDING {STREAM} {GROUP}")).await;
        let Value::Array(parts) = answer else { panic!("{answer:?}") };
        redis::from_redis_value(parts.into_iter().next().unwrap()).unwrap()
    }

    pub(crate) async fn consumers(&self) -> HashSet<String> {
        let answer: redis::streams::StreamInfoConsumersReply =
            self.ask(&format!("XINFO CONSUMERS {STREAM} {GROUP}")).await;
        answer.consumers.into_iter().map(|consumer| consumer.name).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A publisher, and how often it woke its neighbour instead of telling Redis.
pub(crate) struct Publishing {
    publisher: Publisher,
    woken: Arc<AtomicUsize>,
}

impl Publishing {
    /// Publishes so many batches of priority 0 and says which.
    pub(crate) fn some(&self, count: usize) -> BTreeSet<BatchId> {
        let batches: Vec<_> = (0..count).map(|_| batch("echo", 0)).collect();
        let ids = batches.iter().map(|batch| batch.id).collect();
        self.publisher.publish(batches);
        ids
    }

    pub(crate) fn one(&self, batch: ReadyBatch) -> BatchId {
        let id = batch.id;
        self.publisher.publish(vec![batch]);
        id
    }

    pub(crate) fn woken(&self) -> usize {
        self.woken.load(Ordering::Relaxed)
    }
}

/// A worker, as far as it hears of batches.
pub(crate) struct Worker {
    pub(crate) source: Source,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Worker {
    pub(crate) async fn next(&mut self, count: usize) -> Delivery {
        within("a delivery", self.source.next(count)).await
    }

    /// Hears of batches until it has heard of all of these, takes each, and says how often it heard of one.
    pub(crate) async fn take_all(&mut self, expected: &BTreeSet<BatchId>) -> usize {
        let mut heard = BTreeSet::new();
        let mut deliveries = 0;
        while !heard.is_superset(expected) {
            let delivery = self.next(100).await;
            deliveries += delivery.batches.len();
            heard.extend(delivery.batches.clone());
            let claimed = claimed(&delivery.batches);
            self.source.settle(delivery, &claimed).await;
        }
        deliveries
    }

    /// Asks for batches once and hangs up before there are any.
    pub(crate) async fn ask_and_hang_up(&mut self, bed: &Bed) {
        tokio::select! {
            biased;
            delivery = self.source.next(10) => panic!("{delivery:?}"),
            () = bed.until_read() => {}
        }
    }

    /// Stops it in order.
    pub(crate) async fn leave(self) {
        self.stop.cancel();
        within("the reader ends", self.running).await.unwrap();
    }
}

pub(crate) fn args(address: &str) -> DispatchArgs {
    DispatchArgs { queue_backend: Backend::Redis, redis_addr: Some(address.to_owned()), ..DispatchArgs::default() }
}

pub(crate) fn dispatch(address: &str) -> Dispatch {
    args(address).dispatch().unwrap()
}

pub(crate) fn lane(kind: &str) -> Lane {
    Lane { queue: Name::new("default").unwrap(), kind: Name::new(kind).unwrap() }
}

pub(crate) fn batch(kind: &str, priority: i16) -> ReadyBatch {
    ReadyBatch { id: BatchId::new(), lane: lane(kind), priority }
}

/// What a claim says that got one task of each batch.
pub(crate) fn claimed(batches: &BTreeSet<BatchId>) -> ClaimedBatches {
    let claim = |batch: &BatchId| Claimed {
        lease: LeaseId(1),
        id: batch.task(0),
        lane: lane("echo"),
        attempt: 1,
        max_attempts: 1,
        timeout: DEFAULT_TIMEOUT,
        waited: Duration::ZERO,
        payload: Json::parse(b"1").unwrap(),
    };
    ClaimedBatches { tasks: batches.iter().map(claim).collect(), left: Vec::new() }
}

/// What a command, words with spaces between, answers.
pub(crate) async fn ask<T: FromRedisValue>(address: &str, command: &str) -> T {
    let words: Vec<_> = command.split(' ').collect();
    tell(address, &words).await
}

/// What a command of any bytes answers, however long that takes.
pub(crate) async fn tell<T: FromRedisValue>(address: &str, words: &[impl redis::ToRedisArgs]) -> T {
    let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    let mut command = Cmd::new();
    command.arg(words);
    let answer = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    };
    within("an answer", answer).await
}

pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "never happened: {what}");
        time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until Redis is reached, or missing for a reason that says this.
pub(crate) async fn eventually_is(readiness: &Readiness, expected: Result<(), &str>) {
    let started = Instant::now();
    loop {
        let found = readiness.report().dependencies["redis"].clone();
        match (&found, expected) {
            (Ok(()), Ok(())) => return,
            (Err(reason), Err(part)) if reason.contains(part) => return,
            _ => assert!(started.elapsed() < DEADLINE, "{found:?} instead of {expected:?}"),
        }
        time::sleep(Duration::from_millis(10)).await;
    }
}
