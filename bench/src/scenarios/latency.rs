//! An idle system and one task at a time.
//!
//! API, worker and client are in this process, over real sockets, so that one clock times both ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{Api, ApiArgs};
use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::{exit::Failure, tasks::Tasks};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use worker::{Context, TaskError, Worker, WorkerConfig};

use crate::{
    figures::{Figures, Target, at_most, percentile},
    floor::Floor,
    http::{Connection, post},
    scenario::Scenario,
    server::{Bench, Setup, wait_until_ready},
};

/// Tasks that warm caches, connections and prepared statements up.
const WARM_UP: usize = 20;
const LIMIT: Duration = Duration::from_secs(10);

/// An idle system and one task at a time: from the POST being sent to the handler's start, and to the outcome.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Latency {
    /// Tasks to time.
    #[arg(long, default_value_t = 1000)]
    pub(crate) tasks: usize,
    /// Pause between two tasks, in milliseconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) pause_ms: u64,
    /// How workers learn which tasks to claim.
    #[arg(long, value_enum, default_value_t)]
    #[serde(skip)]
    pub(crate) backend: Backend,
}

type Starts = Arc<Mutex<HashMap<u64, Instant>>>;

impl Scenario for Latency {
    const NAME: &'static str = "latency";
    const TARGETS: &'static [Target] = &[at_most("ratio", 1.5), at_most("start_p99_ms", 10.0)];

    fn smoke() -> Self {
        Self { tasks: 20, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, self.backend).await?;
        let stop = CancellationToken::new();
        let running = Tasks::new();
        let starts = Starts::default();
        let address = serve(&bench, &starts, &running, &stop).await?;
        wait_until_ready(&address).await?;
        let mut floor = Floor::start(&mut bench).await?;
        let mut client = Connection::open(&address).await?;

        let (mut to_start, mut to_answer, mut to_done, mut bare) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let before = bench.counters().await?;
        for number in 0..(WARM_UP + self.tasks) as u64 {
            // In turns, so that both meet the machine in the same mood.
            time::sleep(Duration::from_millis(self.pause_ms)).await;
            let floor = floor.time().await?;
            time::sleep(Duration::from_millis(self.pause_ms)).await;
            let request = post("/tasks?kind=bench", &number.to_string());
            let sent = Instant::now();
            client.send(&request).await?;
            let answered = sent.elapsed();
            let started = started(&starts, number).await?.saturating_duration_since(sent);
            let done = until_done(&mut bench, number + 1, sent).await?;
            if number >= WARM_UP as u64 {
                bare.push(milliseconds(floor));
                to_start.push(milliseconds(started));
                to_answer.push(milliseconds(answered));
                to_done.push(milliseconds(done));
            }
        }
        let wal = bench.counters().await?.wal - before.wal;
        stop.cancel();
        running.finish(LIMIT).await;

        let mut figures = Figures::default();
        figures.set("start_p50_ms", percentile(&mut to_start, 0.5));
        figures.set("start_p99_ms", percentile(&mut to_start, 0.99));
        figures.set("done_p50_ms", percentile(&mut to_done, 0.5));
        figures.set("answer_p50_ms", percentile(&mut to_answer, 0.5));
        figures.set("answer_p99_ms", percentile(&mut to_answer, 0.99));
        figures.set("floor_p50_ms", percentile(&mut bare, 0.5));
        figures.set("floor_p99_ms", percentile(&mut bare, 0.99));
        figures.set("ratio", figures.get("start_p50_ms") / figures.get("floor_p50_ms"));
        figures.set("wal_bytes_per_task", wal as f64 / (WARM_UP + self.tasks) as f64);
        Ok(figures)
    }
}

/// An API and a worker in this process. Returns where the API listens.
async fn serve(bench: &Bench, starts: &Starts, running: &Tasks, stop: &CancellationToken) -> Result<String, Failure> {
    let mut settings = ApiArgs::default();
    settings.http.bind = ([127, 0, 0, 1], 0).into();
    settings.drain.drain_delay = Duration::ZERO.into();
    let api = Api::bind(settings, bench.database.clone(), bench.dispatch.clone()).await?;
    let address = api.local_addr().to_string();
    running.spawn(api.run(stop.clone()));
    let starts = starts.clone();
    let handler = move |task: Context| note_start(starts.clone(), task);
    let builder = Worker::builder().handler("bench", handler).dispatch(bench.dispatch.clone());
    let worker = builder.build(WorkerConfig::default(), bench.database.clone());
    running.spawn(worker.run(stop.clone()));
    Ok(address)
}

async fn note_start(starts: Starts, task: Context) -> Result<(), TaskError> {
    let now = Instant::now();
    let number: u64 = task.parse()?;
    starts.lock().unwrap_or_else(PoisonError::into_inner).insert(number, now);
    Ok(())
}

async fn started(starts: &Starts, number: u64) -> Result<Instant, Failure> {
    let asked = Instant::now();
    while asked.elapsed() < LIMIT {
        if let Some(started) = starts.lock().unwrap_or_else(PoisonError::into_inner).remove(&number) {
            return Ok(started);
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    Err(Failure::software(format!("task {number} did not start within {LIMIT:?}")))
}

/// Until so many outcomes are there, to a millisecond: they are asked for.
async fn until_done(bench: &mut Bench, outcomes: u64, sent: Instant) -> Result<Duration, Failure> {
    while sent.elapsed() < LIMIT {
        if bench.number("SELECT count(*) FROM taskrow.outcomes").await? >= outcomes as i64 {
            return Ok(sent.elapsed());
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    Err(Failure::software(format!("{outcomes} outcomes were not recorded within {LIMIT:?}")))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
