//! Clients that read: what was acknowledged is there, and what is final stays so.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use reqwest::Method;
use serde_json::Value;
use tokio::time;
use uuid::Uuid;

use super::{
    Shared,
    api::{Answer, Request},
};
use crate::history::{Event, Status};

const PAUSE: Duration = Duration::from_millis(20);

/// A task in a final state, as an answer has it.
pub(super) struct Final {
    pub(super) status: Status,
    pub(super) attempt: i16,
    pub(super) execution: Option<Uuid>,
}

pub(super) async fn reads(shared: Arc<Shared>, mut rng: Rng, plain: bool) {
    while !shared.stop.is_cancelled() {
        time::sleep(PAUSE.mul_f64(0.5 + rng.f64())).await;
        let Some(task) = shared.one_of_the_latest(&mut rng) else { continue };
        let path = if !plain && rng.u8(..4) == 0 { format!("/tasks/{task}?wait=2") } else { format!("/tasks/{task}") };
        let request = Request { method: Method::GET, path, body: None, key: None, patience: Duration::from_secs(15) };
        match shared.api.send(&request).await {
            Answer::Yes(_, body) => {
                if let Some(Final { status, attempt, execution }) = finished(&body) {
                    shared.history.write(Event::Read { task, status, attempt, execution });
                }
            }
            Answer::NotNow | Answer::Unknown => {}
            Answer::No(status, body) => shared.complain(format!("{task}, which was acknowledged: {status} {body}")),
        }
    }
}

/// Reads a task that has ended.
pub(super) fn finished(task: &Value) -> Option<Final> {
    let status = match task["status"].as_str()? {
        "done" => Status::Done,
        "failed" => Status::Failed,
        "cancelled" => Status::Cancelled,
        _ => return None,
    };
    let execution = task["result"]["execution"].as_str().and_then(|text| text.parse().ok());
    // A submit that found its task ended says the state only.
    let attempt = i16::try_from(task["attempt"].as_i64()?).ok()?;
    Some(Final { status, attempt, execution })
}
