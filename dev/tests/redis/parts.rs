//! Single parts of the system in this process, each with a backend of its own; clients; a Redis to mistreat.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use api::{Api, ApiArgs};
use dispatch::{Backend, Dispatch, DispatchArgs};
use futures_util::{StreamExt, stream};
use local_redis::Server;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use service::{exit::Failure, tasks::Tasks};
use tokio::task::{self, JoinHandle};
use tokio_util::sync::CancellationToken;
use worker::{Process, Worker, WorkerConfig, with_builtin_handlers};

use crate::{store::Store, support::eventually};

/// An API or a worker that runs. Stops when dropped.
pub(crate) struct Part {
    pub(crate) url: String,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), Failure>>>,
}

impl Part {
    /// An API that is ready.
    pub(crate) async fn api(store: &Store, dispatch: Dispatch) -> Self {
        Self::starting_api(store, dispatch).await.until_ready().await
    }

    /// A worker that is ready.
    pub(crate) async fn worker(store: &Store, dispatch: Dispatch) -> Self {
        Self::starting_worker(store, dispatch).await.until_ready().await
    }

    pub(crate) async fn starting_api(store: &Store, dispatch: Dispatch) -> Self {
        let mut args = ApiArgs::default();
        args.http.bind = SocketAddr::from(([127, 0, 0, 1], 0));
        args.drain.drain_delay = Duration::ZERO.into();
        let api = Api::bind(args, store.database("api"), dispatch).await.unwrap();
        let address = api.local_addr();
        Self::start(address, |stop| api.run(stop))
    }

    pub(crate) async fn starting_worker(store: &Store, dispatch: Dispatch) -> Self {
        let builder = with_builtin_handlers(Worker::builder()).dispatch(dispatch);
        let worker = builder.build(WorkerConfig::default(), store.database("worker"));
        let process = Process::bind(worker, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = process.local_addr().unwrap();
        Self::start(address, |stop| process.run(stop))
    }

    fn start<F>(address: SocketAddr, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let running = Some(Tasks::new().spawn(run(stop.clone())));
        Self { url: format!("http://{address}"), stop, running }
    }

    async fn until_ready(self) -> Self {
        until_ready(&self.url).await;
        self
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap().unwrap();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The backend Redis, there.
pub(crate) fn redis_at(address: &str) -> Dispatch {
    let args =
        DispatchArgs { queue_backend: Backend::Redis, redis_addr: Some(address.to_owned()), ..DispatchArgs::default() };
    args.dispatch().unwrap()
}

/// What `/ready` answers.
pub(crate) async fn ready(url: &str) -> (StatusCode, Value) {
    let answer = reqwest::get(format!("{url}/ready")).await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

pub(crate) async fn until_ready(url: &str) {
    eventually(async || match ready(url).await {
        (StatusCode::OK, _) => Ok(()),
        (_, reason) => Err(reason.to_string()),
    })
    .await;
}

/// Waits until nothing but Redis is missing.
pub(crate) async fn until_without_redis(url: &str) {
    eventually(async || {
        let (status, body) = ready(url).await;
        let is_named = status == StatusCode::SERVICE_UNAVAILABLE && body["dependencies"]["redis"] != "ok";
        let is_alone = body["dependencies"]["postgres"] == "ok" && body["dependencies"]["schema"] == "ok";
        if is_named && is_alone { Ok(()) } else { Err(body.to_string()) }
    })
    .await;
    assert_eq!(reqwest::get(format!("{url}/live")).await.unwrap().status(), StatusCode::OK);
}

/// The value of a counter without labels.
pub(crate) async fn metric(url: &str, name: &str) -> u64 {
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

/// Submits one task; its id.
pub(crate) async fn submit(url: &str, options: &str, payload: &Value) -> String {
    let answer = Client::new().post(format!("{url}/tasks{options}")).json(payload).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.text().await);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Submits a batch of so many tasks.
pub(crate) async fn submit_batch(url: &str, tasks: usize) {
    submit_batch_of(url, tasks, &json!({"payload": 1})).await;
}

/// Submits a batch of so many equal tasks.
pub(crate) async fn submit_batch_of(url: &str, tasks: usize, task: &Value) {
    let batch = vec![task; tasks];
    let answer = Client::new().post(format!("{url}/tasks/batch")).json(&batch).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.text().await);
}

/// Many clients at once, half of whose tasks come one by one and half in batches.
pub(crate) struct Load {
    pub(crate) tasks: usize,
    accepted: AtomicUsize,
}

/// Tasks of one batch, and of as many single requests.
const ROUND: usize = 50;

impl Load {
    pub(crate) fn of(tasks: usize) -> Self {
        Self { tasks, accepted: AtomicUsize::new(0) }
    }

    /// Submits everything, alternating between APIs. Each request is to be accepted, whatever Redis does.
    pub(crate) async fn run(&self, apis: &[&str]) {
        let rounds = 0..self.tasks / (2 * ROUND);
        let rounds = rounds.map(|round| async move {
            let api = apis[round % apis.len()];
            submit_batch(api, ROUND).await;
            self.accepted.fetch_add(ROUND, Ordering::Relaxed);
            for number in 0..ROUND {
                submit(api, "", &json!(number)).await;
                self.accepted.fetch_add(1, Ordering::Relaxed);
            }
        });
        stream::iter(rounds).buffer_unordered(16).collect::<()>().await;
        assert_eq!(self.accepted.load(Ordering::Relaxed), self.tasks);
    }

    /// Waits until this part of it is accepted.
    pub(crate) async fn until(&self, part: f64) {
        let enough = (part * self.tasks as f64) as usize;
        eventually(async || {
            let accepted = self.accepted.load(Ordering::Relaxed);
            if accepted >= enough { Ok(()) } else { Err(format!("{accepted} of {enough} accepted")) }
        })
        .await;
    }
}

/// A Redis of a test's own.
pub(crate) struct Redis(Server);

impl Redis {
    pub(crate) fn start() -> Self {
        Self(Server::start().unwrap_or_else(|error| panic!("{error}")))
    }

    pub(crate) fn address(&self) -> String {
        self.0.address()
    }

    /// What makes a `dev` process use it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [("QUEUE_BACKEND", "redis".to_owned()), ("REDIS_ADDR", self.address())]
    }

    pub(crate) fn dispatch(&self) -> Dispatch {
        redis_at(&self.address())
    }

    pub(crate) fn kill(&mut self) {
        task::block_in_place(|| self.0.kill()).unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        task::block_in_place(|| self.0.start_again()).unwrap();
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        self.tell(&command.split(' ').collect::<Vec<_>>()).await
    }

    /// As [`Redis::ask`], for words with spaces in them.
    pub(crate) async fn tell<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let client = redis::Client::open(format!("redis://{}", self.address())).unwrap();
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        let mut command = Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await.unwrap()
    }

    /// How many entries stand in all streams.
    pub(crate) async fn entries(&self) -> usize {
        let mut entries = 0;
        for key in self.ask::<Vec<String>>("KEYS taskrow:*").await {
            entries += self.ask::<usize>(&format!("XLEN {key}")).await;
        }
        entries
    }
}
