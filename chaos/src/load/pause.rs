//! A client that pauses a queue now and then, for some seconds.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use reqwest::Method;
use tokio::time;

use super::{
    Shared,
    api::{Answer, Request},
};
use crate::history::Event;

/// The queue that is paused.
const QUEUE: &str = "brief";
/// Between two pauses, and how long one lasts, about.
const PAUSE: Duration = Duration::from_secs(4);

pub(super) async fn pauses(shared: Arc<Shared>, mut rng: Rng) {
    while shared.stop.run_until_cancelled(time::sleep(PAUSE.mul_f64(0.5 + rng.f64()))).await.is_some() {
        // Without an answer it may be paused; it is resumed all the same.
        let is_paused = matches!(shared.api.send(&post("pause")).await, Answer::Yes(..));
        if is_paused {
            match shared.admin.clock().await {
                Ok(database_at) => shared.history.write(Event::Paused { queue: QUEUE.to_owned(), database_at }),
                Err(failure) => shared.complain(failure.to_string()),
            }
        }
        let _ = shared.stop.run_until_cancelled(time::sleep(PAUSE.mul_f64(0.3 + rng.f64() / 2.0))).await;
        if is_paused {
            match shared.admin.clock().await {
                Ok(database_at) => shared.history.write(Event::Resume { queue: QUEUE.to_owned(), database_at }),
                Err(failure) => shared.complain(failure.to_string()),
            }
        }
        while !matches!(shared.api.send(&post("resume")).await, Answer::Yes(..)) {
            time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn post(what: &str) -> Request {
    let path = format!("/queues/{QUEUE}/{what}");
    Request { method: Method::POST, path, body: None, key: None, patience: Duration::from_secs(10) }
}
