//! Requests to the API.

use std::{fs, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use queue::Status;
use reqwest::{
    StatusCode,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use serde::Deserialize;
use service::{exit::Failure, tokens::Secret};
use uuid::Uuid;

use super::{
    answer::{Again, Lost, Submitted, Trouble, reason, send},
    args::LoadTestArgs,
};
use crate::problem::Kind;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer. The API gives up after its own 30 s and says what became of the request, so it is let to say it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest wait for the answer to a probe, or to a question that is asked again in a moment.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The API closes a connection that was idle for 75 s, and load balancers after 60 s as a rule; a request must not meet that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The API as one run sees it.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// The address without a slash at its end.
    base: String,
    /// Queue and kind, as parameters.
    lane: String,
    queue: String,
    kind: String,
}

/// A task, as far as a load test looks at it. Both times are of the database's clock.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Task {
    pub(super) id: Uuid,
    pub(super) status: Status,
    pub(super) created_at: DateTime<Utc>,
    /// When it came into this state: of a final one, when it ended.
    pub(super) updated_at: DateTime<Utc>,
}

/// A page of tasks, newest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) tasks: Vec<Task>,
    /// The page has looked at all ids from this one on; at all, if there is none.
    pub(super) next_cursor: Option<Uuid>,
}

/// What there is of the lane, other clients' tasks included.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Depth {
    pub(super) queued: u64,
    pub(super) scheduled: u64,
    pub(super) processing: u64,
}

impl Client {
    pub(super) fn new(args: &LoadTestArgs) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(file) = &args.token_file {
            headers.insert(header::AUTHORIZATION, bearer(file)?);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirected POST becomes a GET.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Failure::software(format!("cannot make an HTTP client: {}", reason(&error))))?;
        let mut lane = form_urlencoded::Serializer::new(String::new());
        lane.append_pair("queue", args.queue.as_str()).append_pair("kind", args.kind.as_str());
        Ok(Self {
            http,
            base: args.url.as_str().trim_end_matches('/').to_owned(),
            lane: lane.finish(),
            queue: args.queue.to_string(),
            kind: args.kind.to_string(),
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Whether the API is ready; if not, why.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let request = self.http.get(format!("{}/ready", self.base)).timeout(PROBE_TIMEOUT);
        let answer = send(request).await.map_err(|lost| lost.reason)?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(answer.explained()) }
    }

    /// Submits one task.
    pub(super) async fn submit(&self, payload: String) -> Submitted {
        let request = self.http.post(format!("{}/tasks?{}", self.base, self.lane));
        match send(request.header(header::CONTENT_TYPE, "application/json").body(payload)).await {
            Ok(answer) => answer.of_submit(),
            Err(Lost { reason, is_unsent: true }) => Submitted::NotStored(Again { reason, after: Duration::ZERO }),
            Err(Lost { reason, is_unsent: false }) => Submitted::Unknown(Again { reason, after: Duration::ZERO }),
        }
    }

    /// Up to `limit` tasks of the lane, from `newest` on down. A cursor is an id, and a page starts below it.
    pub(super) async fn page(&self, newest: Uuid, limit: usize) -> Result<Page, Trouble> {
        let above = Uuid::from_u128(newest.as_u128().saturating_add(1));
        let request = self.http.get(format!("{}/tasks?{}&limit={limit}&cursor={above}", self.base, self.lane));
        send(request).await?.read()
    }

    /// One task; none: the API says that there is no such task.
    pub(super) async fn task(&self, id: Uuid) -> Result<Option<Task>, Trouble> {
        let answer = send(self.http.get(format!("{}/tasks/{id}", self.base))).await?;
        if answer.status == StatusCode::NOT_FOUND && answer.is(Kind::TaskNotFound) {
            return Ok(None);
        }
        answer.read().map(Some)
    }

    /// What there is of the lane now. Up to a second old.
    pub(super) async fn depth(&self) -> Result<Depth, Trouble> {
        #[derive(Deserialize)]
        struct Queues {
            queues: Vec<Queue>,
        }
        #[derive(Deserialize)]
        struct Queue {
            name: String,
            kinds: Vec<Lane>,
        }
        #[derive(Deserialize)]
        struct Lane {
            kind: String,
            #[serde(flatten)]
            depth: Depth,
        }
        let request = self.http.get(format!("{}/queues", self.base)).timeout(PROBE_TIMEOUT);
        let Queues { queues } = send(request).await?.read()?;
        let mut lanes = queues.into_iter().filter(|queue| queue.name == self.queue).flat_map(|queue| queue.kinds);
        Ok(lanes.find(|lane| lane.kind == self.kind).map(|lane| lane.depth).unwrap_or_default())
    }
}

/// The token in a file, as a header that is never logged.
fn bearer(file: &Path) -> Result<HeaderValue, Failure> {
    let bad = |reason: &dyn std::fmt::Display| Failure::usage(format!("--token-file {}: {reason}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| bad(&error))?;
    let secret = Secret::parse(text.trim_end()).ok_or_else(|| bad(&"holds no API token"))?;
    let value = HeaderValue::from_str(&format!("Bearer {}", secret.reveal()));
    let mut value = value.expect("a secret is plain ASCII");
    value.set_sensitive(true);
    Ok(value)
}
