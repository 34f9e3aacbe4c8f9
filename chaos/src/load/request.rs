//! What is submitted: made at random.

use std::time::Duration;

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use super::api::Request;
use crate::{
    history::Submit,
    probe::{KIND, Plan, Work},
};

/// How long a client waits for an answer, as a rule.
const PATIENCE: Duration = Duration::from_secs(20);
/// Tasks of a batch, at most. (A name has 16 bits for the place in its request.)
const BATCH: u16 = 400;

/// A request to submit, in the words of the history and in those of the api.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) submit: Submit,
    pub(super) request: Request,
}

/// A task of its own.
pub(super) fn single(rng: &mut Rng, number: u64, plain: bool) -> Submission {
    let queue = if rng.u8(..3) == 0 { "brief" } else { "default" };
    let is_probe = !plain && rng.u8(..4) != 0;
    let plan = plan(rng);
    let delay_ms = if rng.u8(..6) == 0 { rng.u64(100..4000) } else { 0 };
    let max_attempts = if plan == Plan::Linger { 2 } else { 20 };
    let submit = Submit {
        request: number,
        key: if plain { None } else { key(rng, number) },
        queue: queue.to_owned(),
        kind: if is_probe { KIND } else { "echo" }.to_owned(),
        delay_ms,
        max_attempts,
        tasks: 1,
    };
    let mut path = format!("/tasks?queue={queue}&kind={}&max_attempts={max_attempts}", submit.kind);
    if delay_ms > 0 {
        path.push_str(&format!("&delay={delay_ms}ms"));
    }
    if plan == Plan::Linger {
        path.push_str("&timeout=1s");
    }
    if !plain && rng.u8(..5) == 0 {
        path.push_str("&wait=3");
    }
    let body = work(rng, number, 0, plan).to_string();
    let request = request(rng, path, body, &submit);
    Submission { submit, request }
}

/// Many at once.
pub(super) fn batch(rng: &mut Rng, number: u64, plain: bool) -> Submission {
    let is_probe = !plain && rng.u8(..5) < 2;
    let submit = Submit {
        request: number,
        key: if plain { None } else { key(rng, number) },
        queue: "bulk".to_owned(),
        kind: if is_probe { KIND } else { "echo" }.to_owned(),
        delay_ms: if rng.u8(..10) == 0 { rng.u64(100..3000) } else { 0 },
        max_attempts: 20,
        tasks: rng.u16(1..=BATCH),
    };
    let items: Vec<Value> = (0..submit.tasks)
        .map(|index| {
            let plan = if rng.u8(..50) == 0 { plan(rng) } else { Plan::Succeed };
            let plan = if plan == Plan::Linger { Plan::Succeed } else { plan };
            let mut item = json!({"payload": work(rng, number, index, plan), "queue": submit.queue, "kind": submit.kind, "max_attempts": 20});
            if submit.delay_ms > 0 {
                item["delay"] = json!(format!("{}ms", submit.delay_ms));
            }
            item
        })
        .collect();
    let request = request(rng, "/tasks/batch".to_owned(), Value::from(items).to_string(), &submit);
    Submission { submit, request }
}

/// Two of three requests have a key.
fn key(rng: &mut Rng, number: u64) -> Option<String> {
    (rng.u8(..3) != 0).then(|| format!("chaos-{number}"))
}

fn request(rng: &mut Rng, path: String, body: String, submit: &Submit) -> Request {
    // Now and then a client hangs up in the middle.
    let patience = if rng.u8(..20) == 0 { Duration::from_millis(rng.u64(1..30)) } else { PATIENCE };
    Request { method: Method::POST, path, body: Some(body), key: submit.key.clone(), patience }
}

fn work(rng: &mut Rng, number: u64, index: u16, plan: Plan) -> Value {
    // Most are quick; some are long enough to be met by any fault.
    let ms = match rng.u8(..100) {
        0 => rng.u64(500..3000),
        1..20 => rng.u64(1..20),
        _ => 0,
    };
    json!(Work { name: number << 16 | u64::from(index), ms, plan })
}

fn plan(rng: &mut Rng) -> Plan {
    match rng.u8(..20) {
        0 => Plan::FailFirst,
        1 => Plan::Fail,
        2 => Plan::PanicFirst,
        3 => Plan::MaybeLater,
        4 => Plan::Linger,
        _ => Plan::Succeed,
    }
}
