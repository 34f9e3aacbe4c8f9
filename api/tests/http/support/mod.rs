//! An API per test, and what tests ask of it.

mod app;
mod client;
mod database;
mod proxy;
mod worker;

use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use self::{
    app::{Answer, App, Setup, read_to_end},
    client::{Client, Clients},
    database::{Blocked, TestDb},
    proxy::Proxy,
    worker::{TestWorker, done},
};

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A body for a snapshot: what differs from run to run is replaced, and must be there.
pub(crate) fn redacted(mut body: Value) -> Value {
    redact(&mut body);
    body
}

fn redact(value: &mut Value) {
    const CHANGING: [&str; 10] = [
        "id",
        "created_at",
        "updated_at",
        "run_at",
        "started_at",
        "heartbeat_at",
        "dead_at",
        "paused_at",
        "next_cursor",
        "oldest_wait_seconds",
    ];
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if CHANGING.contains(&name.as_str()) && !member.is_null() {
                    *member = Value::String(format!("[{name}]"));
                } else {
                    redact(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}
