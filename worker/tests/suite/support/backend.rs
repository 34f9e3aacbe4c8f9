//! What tells a test's workers what to claim: Postgres alone, or a Redis of the test's own.

use dispatch::{Dispatch, DispatchArgs, Publisher};
use local_redis::Server;
use queue::{ReadyBatch, wakeup::Notifier};
use service::{database::Database, tasks::Tasks};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The backend of one test.
pub(crate) struct Backend {
    args: DispatchArgs,
    /// Ends with the test.
    _server: Option<Server>,
}

impl Backend {
    /// The one that this test target is about.
    pub(crate) async fn new() -> Self {
        match crate::BACKEND {
            dispatch::Backend::Postgres => Self::of(DispatchArgs::default()),
            dispatch::Backend::Redis => {
                let started = tokio::task::spawn_blocking(Server::start).await.expect("no panic");
                let server = started.unwrap_or_else(|error| panic!("test redis: {error}"));
                Self { args: redis(&server.address()), _server: Some(server) }
            }
        }
    }

    /// As configured.
    pub(crate) fn of(args: DispatchArgs) -> Self {
        Self { args, _server: None }
    }

    /// For one process, which shares nothing with others.
    pub(crate) fn dispatch(&self) -> Dispatch {
        self.args.dispatch().expect("good settings")
    }

    /// For a process of the binary.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let DispatchArgs { queue_backend, redis_addr, .. } = &self.args;
        match queue_backend {
            dispatch::Backend::Postgres => Vec::new(),
            dispatch::Backend::Redis => {
                vec![("QUEUE_BACKEND", "redis".to_owned()), ("REDIS_ADDR", redis_addr.clone().unwrap_or_default())]
            }
        }
    }

    /// For those who submit.
    pub(crate) fn submitter(&self, database: Database) -> Submitter {
        let is_redis = self.args.queue_backend == dispatch::Backend::Redis;
        Submitter(is_redis.then(|| Publishing::start(&self.dispatch(), database)))
    }
}

/// The backend Redis, there.
pub(crate) fn redis(address: &str) -> DispatchArgs {
    DispatchArgs {
        queue_backend: dispatch::Backend::Redis,
        redis_addr: Some(address.to_owned()),
        ..DispatchArgs::default()
    }
}

/// Tells of stored tasks as the API does, but in Postgres mode nothing: what a wakeup does and what is found without one are
/// different tests, and each says which it is.
pub(crate) struct Submitter(Option<Publishing>);

struct Publishing {
    publisher: Publisher,
    _tasks: Tasks,
    _stop: DropGuard,
}

impl Publishing {
    fn start(dispatch: &Dispatch, database: Database) -> Self {
        let (notifier, tasks, stop) = (Notifier::default(), Tasks::new(), CancellationToken::new());
        let publisher = dispatch.publisher(notifier.clone());
        tasks.spawn(notifier.run(database, stop.clone()));
        tasks.spawn(publisher.clone().run(stop.clone()));
        Self { publisher, _tasks: tasks, _stop: stop.drop_guard() }
    }
}

impl Submitter {
    pub(crate) fn tell(&self, ready: Vec<ReadyBatch>) {
        if let Some(publishing) = &self.0 {
            publishing.publisher.publish(ready);
        }
    }
}
