//! Clients that submit without end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;

use super::system::System;

const CLIENTS: usize = 4;
/// Of each client, between two requests: as many as slow machines can run, too.
const PAUSE: Duration = Duration::from_millis(10);
/// What is submitted in turn: at once, slow, and by way of `scheduled`.
const TASKS: [&str; 3] = ["kind=echo", "kind=sleep", "kind=echo&delay=100ms"];

/// Clients, which use all APIs that they are told of in turn. The payload says which release took the task.
pub(crate) struct Load {
    apis: Arc<Mutex<Vec<Target>>>,
    sent: Arc<Mutex<Sent>>,
    clients: JoinSet<()>,
    stop: CancellationToken,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// The ids of the tasks that were accepted.
    pub(crate) accepted: Vec<String>,
    /// The version asked, and what went wrong.
    pub(crate) refused: Vec<(String, String)>,
}

#[derive(Clone, PartialEq)]
struct Target {
    version: String,
    address: String,
}

impl From<&System> for Target {
    fn from(system: &System) -> Self {
        Self { version: system.version.clone(), address: system.api.address().to_owned() }
    }
}

impl Load {
    /// Starts the clients on one API.
    pub(crate) fn on(system: &System) -> Self {
        let load = Self {
            apis: Arc::new(Mutex::new(vec![system.into()])),
            sent: Arc::default(),
            clients: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(submit(number, load.apis.clone(), load.sent.clone(), load.stop.clone()));
        }
        Self { clients, ..load }
    }

    /// From now on also to this API.
    pub(crate) fn add(&self, system: &System) {
        self.apis.lock().expect("no panic").push(system.into());
    }

    /// From now on not to this API.
    pub(crate) fn remove(&self, system: &System) {
        self.apis.lock().expect("no panic").retain(|target| *target != system.into());
    }

    /// What was sent so far.
    pub(crate) fn sent(&self) -> Sent {
        self.sent.lock().expect("no panic").clone()
    }

    /// Stops the clients; what they sent.
    pub(crate) async fn stop(mut self) -> Sent {
        self.stop.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no panic");
        }
        self.sent()
    }
}

async fn submit(number: usize, apis: Arc<Mutex<Vec<Target>>>, sent: Arc<Mutex<Sent>>, stop: CancellationToken) {
    let client = reqwest::Client::new();
    for turn in number.. {
        let target = {
            let apis = apis.lock().expect("no panic");
            apis[turn % apis.len()].clone()
        };
        let outcome = post(&client, &target, turn).await;
        {
            let mut sent = sent.lock().expect("no panic");
            match outcome {
                Ok(id) => sent.accepted.push(id),
                Err(reason) => sent.refused.push((target.version, reason)),
            }
        }
        if stop.run_until_cancelled(time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Submits a task; its id, or why it was not accepted.
async fn post(client: &reqwest::Client, target: &Target, turn: usize) -> Result<String, String> {
    let url = format!("http://{}/tasks?{}", target.address, TASKS[turn % TASKS.len()]);
    let payload = json!({"by": target.version, "turn": turn, "ms": 20});
    let answer = client.post(url).json(&payload).send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(|error| format!("{error:?}"))?;
    let id = (status == 201).then(|| body["id"].as_str().map(str::to_owned)).flatten();
    id.ok_or_else(|| format!("{status} {body}"))
}
