//! The API in this process, and requests to it.

use std::{net::SocketAddr, time::Duration};

use api::{Api, ApiArgs};
use dispatch::{Backend, Dispatch, DispatchArgs};
use local_pg::Pooler;
use local_redis::Server;
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;
use service::{exit::Failure, tasks::Tasks, tokens::TokenArgs};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Proxy, TestDb, eventually};

/// An API that serves. Stops when dropped.
pub(crate) struct App {
    pub(crate) database: TestDb,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    running: Option<JoinHandle<Result<(), Failure>>>,
    client: Client,
}

/// How to start it.
pub(crate) struct Setup {
    pub(crate) args: ApiArgs,
    database: Option<TestDb>,
    /// Where the API finds the database, if not directly.
    url: Option<String>,
    /// Where its pool does.
    pooler: Option<String>,
    dispatch: Dispatch,
    tokens: TokenArgs,
    until_ready: bool,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Default for Setup {
    fn default() -> Self {
        let mut args = ApiArgs::default();
        args.http.bind = SocketAddr::from(([127, 0, 0, 1], 0));
        args.drain.drain_delay = Duration::ZERO.into();
        Self {
            args,
            database: None,
            url: None,
            pooler: None,
            dispatch: Dispatch::default(),
            tokens: TokenArgs::default(),
            until_ready: true,
        }
    }
}

impl Setup {
    pub(crate) fn with(change: impl FnOnce(&mut ApiArgs)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.args);
        setup
    }

    pub(crate) fn on(mut self, database: TestDb) -> Self {
        self.database = Some(database);
        self
    }

    pub(crate) fn through(mut self, proxy: &Proxy) -> Self {
        self.url = Some(proxy.url());
        self
    }

    /// With its pool through this pooler.
    pub(crate) fn behind(mut self, pooler: &Pooler) -> Self {
        self.pooler = Some(pooler.address());
        self
    }

    /// In Redis mode.
    pub(crate) fn beside(mut self, redis: &Server) -> Self {
        let (queue_backend, redis_addr) = (Backend::Redis, Some(redis.address()));
        self.dispatch = DispatchArgs { queue_backend, redis_addr, ..DispatchArgs::default() }.dispatch().unwrap();
        self
    }

    /// With this list of tokens.
    pub(crate) fn guarded(mut self, tokens: TokenArgs) -> Self {
        self.tokens = tokens;
        self
    }

    pub(crate) fn not_ready(mut self) -> Self {
        self.until_ready = false;
        self
    }

    pub(crate) async fn start(self) -> App {
        let database = match self.database {
            Some(database) => database,
            None => TestDb::migrated().await,
        };
        let url = self.url.unwrap_or_else(|| database.api_url().to_owned());
        let mut at = TestDb::at(&url);
        if let Some(address) = self.pooler {
            let (user, name) = (url.rsplit_once('@').unwrap().0, url.rsplit_once('/').unwrap().1);
            at = at.behind_pooler(&format!("{user}@{address}/{name}")).unwrap();
        }
        let api = Api::bind(self.args, at, self.dispatch).await.unwrap();
        let api = api.guarded_by(self.tokens.tokens().unwrap());
        let address = api.local_addr();
        let stop = CancellationToken::new();
        let running = Tasks::new().spawn(api.run(stop.clone()));
        let app = App { database, address, stop, running: Some(running), client: Client::new() };
        if self.until_ready {
            app.until_ready().await;
        }
        app
    }
}

impl App {
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    pub(crate) async fn until_ready(&self) {
        eventually("/ready answers 200", || async { self.get("/ready").await.status == StatusCode::OK }).await;
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::POST, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    pub(crate) fn json(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", "application/json").body(body)
    }

    pub(crate) async fn post_json(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        Answer::of(self.json(path, body)).await
    }

    /// Submits a task and returns its id.
    pub(crate) async fn submit(&self, options: &str, payload: &str) -> String {
        let answer = self.post_json(&format!("/tasks{options}"), payload.to_owned()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// A connection that speaks HTTP only as far as the test makes it.
    pub(crate) async fn raw(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stopped(&mut self) -> Result<(), Failure> {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self { status: response.status(), headers: response.headers().clone(), text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that it is a problem of this kind, complete and consistent; returns its members.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["type"], format!("/problems/{slug}"), "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{self:?}");
        let passes = [429, 503].contains(&status) || slug == "key-in-use";
        assert_eq!(self.headers.contains_key("retry-after"), passes, "{self:?}");
        body
    }
}

/// What a raw connection answers until it closes.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}
