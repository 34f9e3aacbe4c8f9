//! Everything at once: submitting over HTTP, running, reading results.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    figures::{Figures, Target, at_least, at_most, percentile},
    http::{Connection, get, post},
    load::payload,
    scenario::Scenario,
    server::{Bench, Setup},
    together,
    watch::Progress,
};

/// Pause before a client asks again for a task that was not done.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// Submit over HTTP, run, and read the result over HTTP, all at once, at the highest rate at which the backlog stays bounded.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Steady {
    /// Keep-alive connections.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Tasks that each connection has submitted and not seen done, at most: the bound of the backlog is the product.
    #[arg(long, default_value_t = 8)]
    window: usize,
    /// Worker processes.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

impl Scenario for Steady {
    const NAME: &'static str = "steady";
    const TARGETS: &'static [Target] = &[at_least("tasks_per_s", 15_000.0), at_most("p99_ms", 250.0)];

    fn smoke() -> Self {
        Self { seconds: 1, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let (_api, address) = bench.spawn_api(&[]).await?;
        let progress = Progress::start(&bench, self.workers, 5)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..self.connections {
            let client = Client {
                connection: Connection::open(&address).await?,
                submit: post("/tasks", &payload(self.payload_bytes)),
                window: self.window,
                open: VecDeque::new(),
                asked: 0,
                in_time: 0,
                times_ms: Vec::new(),
            };
            clients.spawn(client.run(is_over.clone()));
        }
        let started = Instant::now();
        time::sleep(Duration::from_secs(self.seconds)).await;
        is_over.store(true, Ordering::Relaxed);
        let took = started.elapsed();
        let (mut times, mut asked, mut in_time) = (Vec::new(), 0, 0);
        for client in together::all(clients).await? {
            times.extend(client.times_ms);
            asked += client.asked;
            in_time += client.in_time;
        }
        // Those that were still open when time was up have been seen done too, a moment later.
        let done = times.len();
        drop(progress);
        let recorded = bench.number("SELECT count(*) FROM taskrow.outcomes WHERE status = 1").await?;
        if recorded != done as i64 {
            return Err(Failure::software(format!("{done} tasks were seen done, {recorded} are recorded")));
        }
        let mut figures = Figures::default();
        figures.set("tasks_per_s", in_time as f64 / took.as_secs_f64());
        figures.set("p50_ms", percentile(&mut times, 0.5));
        figures.set("p99_ms", percentile(&mut times, 0.99));
        figures.set("reads_per_task", asked as f64 / done as f64);
        Ok(figures)
    }
}

/// Submits until its window is full, then asks for its oldest task until it is done.
struct Client {
    connection: Connection,
    submit: Vec<u8>,
    window: usize,
    /// Requests that ask for tasks not seen done, and when these were submitted; oldest first.
    open: VecDeque<(Vec<u8>, Instant)>,
    asked: usize,
    /// Tasks seen done before time was up.
    in_time: usize,
    times_ms: Vec<f64>,
}

impl Client {
    async fn run(mut self, is_over: Arc<AtomicBool>) -> Result<Self, Failure> {
        loop {
            let is_over = is_over.load(Ordering::Relaxed);
            if !is_over && self.open.len() < self.window {
                self.submit().await?;
                continue;
            }
            let Some((request, sent)) = self.open.front() else { return Ok(self) };
            self.asked += 1;
            let answer = self.connection.send(request).await?;
            if contains(answer.body, br#""status":"done""#) {
                self.times_ms.push(sent.elapsed().as_secs_f64() * 1e3);
                self.in_time += usize::from(!is_over);
                self.open.pop_front();
            } else {
                time::sleep(ASK_AGAIN).await;
            }
        }
    }

    async fn submit(&mut self) -> Result<(), Failure> {
        let sent = Instant::now();
        let answer = self.connection.send(&self.submit).await?;
        let answer: serde_json::Value = serde_json::from_slice(answer.body).map_err(Failure::software)?;
        let id = answer["id"].as_str().ok_or_else(|| Failure::software("an answer without an id"))?;
        self.open.push_back((get(&format!("/tasks/{id}")), sent));
        Ok(())
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
