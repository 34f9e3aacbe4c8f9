//! Clients that submit. With a key they try until they know; without one they try once.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use fastrand::Rng;
use serde_json::Value;
use tokio::time::{self, Instant};
use uuid::Uuid;

use super::{
    Shared,
    api::Answer,
    read::{self, Final},
    request::{Submission, batch, single},
};
use crate::history::Event;

/// How long a client with a key tries. Longer than any fault.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two tries: up to this long.
const PAUSE: Duration = Duration::from_millis(400);
/// The singles take this part of the pace; the rest is for batches.
const SINGLE_PAUSE: Duration = Duration::from_millis(40);

pub(super) async fn singles(shared: Arc<Shared>, mut rng: Rng, plain: bool) {
    while !shared.enough.is_cancelled() && !shared.pace.is_through() {
        let number = shared.requests.fetch_add(1, Ordering::Relaxed);
        let _ = shared.pace.take(1);
        let submission = single(&mut rng, number, plain);
        submit(&shared, &mut rng, submission).await;
        let pause = SINGLE_PAUSE.mul_f64(0.5 + rng.f64());
        let _ = shared.enough.run_until_cancelled(time::sleep(pause)).await;
    }
}

pub(super) async fn batches(shared: Arc<Shared>, mut rng: Rng, plain: bool) {
    loop {
        let number = shared.requests.fetch_add(1, Ordering::Relaxed);
        let submission = batch(&mut rng, number, plain);
        let Some(when) = shared.pace.take(submission.submit.tasks.into()) else { return };
        if shared.enough.run_until_cancelled(time::sleep_until(when)).await.is_none() {
            return;
        }
        submit(&shared, &mut rng, submission).await;
    }
}

async fn submit(shared: &Shared, rng: &mut Rng, mut submission: Submission) {
    let request = submission.submit.request;
    shared.history.write(Event::Submit(submission.submit.clone()));
    if submission.submit.key.is_none() {
        let event = match shared.api.send(&submission.request).await {
            Answer::Yes(status, body) => acknowledged(shared, request, status, &body),
            Answer::NotNow => Event::Refused { request },
            Answer::Unknown => Event::Unknown { request },
            Answer::No(status, body) => {
                shared.complain(format!("a submit was refused: {status} {body}"));
                Event::Refused { request }
            }
        };
        return shared.history.write(event);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut seen: Option<Vec<Uuid>> = None;
    loop {
        match shared.api.send(&submission.request).await {
            Answer::Yes(status, body) => {
                let event = acknowledged(shared, request, status, &body);
                let Event::Acknowledged { ids, .. } = &event else { return };
                let is_news = seen.as_ref() != Some(ids);
                let (again, ids) = (seen.is_none() && rng.u8(..10) == 0, ids.clone());
                if is_news {
                    shared.history.write(event);
                }
                // Some clients never saw that answer, and ask again.
                if !again {
                    return;
                }
                seen = Some(ids);
            }
            Answer::NotNow | Answer::Unknown => {}
            Answer::No(status, body) => {
                return shared.complain(format!("a submit with a key was refused: {status} {body}"));
            }
        }
        if Instant::now() > deadline {
            if seen.is_none() {
                shared.history.write(Event::Unknown { request });
            }
            return;
        }
        // Whoever hung up once waits longer, or it might never hear an answer.
        submission.request.patience = Duration::from_secs(20);
        time::sleep(PAUSE.mul_f64(rng.f64())).await;
    }
}

/// What an answer acknowledges, and, when it was waited for the end, what it says of that.
fn acknowledged(shared: &Shared, request: u64, status: u16, body: &Value) -> Event {
    let ids: Option<Vec<Uuid>> = match body.get("tasks").and_then(Value::as_array) {
        Some(items) => items.iter().map(id).collect(),
        None => id(body).map(|id| vec![id]),
    };
    let Some(ids) = ids else {
        shared.complain(format!("an answer without ids: {status} {body}"));
        return Event::Unknown { request };
    };
    if let Some(Final { status, attempt, execution }) = read::finished(body)
        && let [task] = ids[..]
    {
        shared.history.write(Event::Read { task, status, attempt, execution });
    }
    shared.remember(&ids);
    Event::Acknowledged { request, ids }
}

fn id(item: &Value) -> Option<Uuid> {
    item["id"].as_str()?.parse().ok()
}
