//! One request to one of the apis, and what its answer says about whether anything was done.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::Value;
use service::exit::Failure;

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The apis, asked in turn.
#[derive(Debug)]
pub(crate) struct Api {
    client: reqwest::Client,
    addresses: Vec<SocketAddr>,
    turn: AtomicUsize,
}

/// What an answer says.
#[derive(Debug)]
pub(crate) enum Answer {
    /// 2xx.
    Yes(u16, Value),
    /// Nothing was done; another try may do better.
    NotNow,
    /// Nobody knows whether it was done: no answer, or one that says so.
    Unknown,
    /// Refused for good; nothing was done.
    No(u16, Value),
}

/// A request, to be sent once or again and again.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: reqwest::Method,
    pub(crate) path: String,
    pub(crate) body: Option<String>,
    pub(crate) key: Option<String>,
    /// Longest wait for the answer; a short one makes a client that hangs up.
    pub(crate) patience: Duration,
}

impl Api {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().connect_timeout(CONNECT_LIMIT).build().map_err(Failure::software)?;
        Ok(Self { client, addresses, turn: AtomicUsize::new(0) })
    }

    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
        let url = format!("http://{}{}", self.addresses[turn], request.path);
        let mut building = self.client.request(request.method.clone(), url).timeout(request.patience);
        if let Some(body) = &request.body {
            building = building.header("content-type", "application/json").body(body.clone());
        }
        if let Some(key) = &request.key {
            building = building.header("idempotency-key", format!("\"{key}\""));
        }
        let answer = match building.send().await {
            Ok(answer) => answer,
            // Nobody listened: nobody can have done anything.
            Err(error) if error.is_connect() => return Answer::NotNow,
            Err(_) => return Answer::Unknown,
        };
        let status = answer.status().as_u16();
        let Ok(body) = answer.json::<Value>().await else { return Answer::Unknown };
        match status {
            200..300 => Answer::Yes(status, body),
            503 if body["type"] == "/problems/outcome-unknown" => Answer::Unknown,
            503 | 429 | 408 => Answer::NotNow,
            409 if body["type"] == "/problems/key-in-use" => Answer::NotNow,
            _ => Answer::No(status, body),
        }
    }
}
