//! Clients that cancel what was accepted lately.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use reqwest::Method;
use tokio::time;

use super::{
    Shared,
    api::{Answer, Request},
};
use crate::history::Event;

const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn cancels(shared: Arc<Shared>, mut rng: Rng) {
    while !shared.stop.is_cancelled() {
        time::sleep(PAUSE.mul_f64(0.5 + rng.f64())).await;
        let Some(task) = shared.one_of_the_latest(&mut rng) else { continue };
        let path = format!("/tasks/{task}/cancel");
        let request = Request { method: Method::POST, path, body: None, key: None, patience: Duration::from_secs(15) };
        match shared.api.send(&request).await {
            Answer::Yes(_, body) if body["status"] == "cancelled" => shared.history.write(Event::Cancelled { task }),
            // It runs and may still finish, or it has ended.
            Answer::Yes(..) | Answer::No(409, _) | Answer::NotNow | Answer::Unknown => {}
            Answer::No(status, body) => shared.complain(format!("cancel of {task}: {status} {body}")),
        }
    }
}
