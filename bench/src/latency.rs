//! An idle system and one task at a time.
//!
//! API, worker and client are in this process, over real sockets, so that one clock times both ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{Api, ApiArgs};
use dispatch::Backend;
use serde_json::{Value, json};
use service::{exit::Failure, tasks::Tasks};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use worker::{Context, TaskError, Worker, WorkerConfig};

use crate::{
    machine::{self, percentile},
    server::Bench,
};

/// Tasks that warm caches, connections and prepared statements up.
const WARM_UP: usize = 20;
const LIMIT: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tasks to time.
    #[arg(long, default_value_t = 1000)]
    pub(crate) tasks: usize,
    /// Pause between two tasks, in milliseconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) pause_ms: u64,
    /// How workers learn which tasks to claim.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) backend: Backend,
}

type Starts = Arc<Mutex<HashMap<u64, Instant>>>;

pub(crate) async fn run(args: Args) -> Result<Value, Failure> {
    let mut bench = Bench::start(args.backend).await?;
    let stop = CancellationToken::new();
    let running = Tasks::new();
    let mut settings = ApiArgs::default();
    settings.http.bind = ([127, 0, 0, 1], 0).into();
    settings.drain.drain_delay = Duration::ZERO.into();
    let api = Api::bind(settings, bench.database.clone(), bench.dispatch.clone()).await?;
    let address = api.local_addr();
    running.spawn(api.run(stop.clone()));
    let starts = Starts::default();
    let handler = {
        let starts = starts.clone();
        move |task: Context| note_start(starts.clone(), task)
    };
    let builder = Worker::builder().handler("bench", handler).dispatch(bench.dispatch.clone());
    let worker = builder.build(WorkerConfig::default(), bench.database.clone());
    running.spawn(worker.run(stop.clone()));

    let client = reqwest::Client::new();
    wait_until_ready(&client, &format!("http://{address}/ready")).await?;
    let url = format!("http://{address}/tasks?kind=bench");
    let (mut to_start, mut to_answer) = (Vec::new(), Vec::new());
    let (before, cpu_before) = (bench.counters().await?, bench.postgres_cpu_s());
    for number in 0..(WARM_UP + args.tasks) as u64 {
        time::sleep(Duration::from_millis(args.pause_ms)).await;
        let sent = Instant::now();
        let answer = client.post(&url).json(&number).send().await.map_err(Failure::software)?;
        answer.error_for_status().map_err(Failure::software)?;
        let answered = sent.elapsed();
        let started = started(&starts, number).await?.saturating_duration_since(sent);
        if number >= WARM_UP as u64 {
            to_start.push(started.as_secs_f64() * 1e3);
            to_answer.push(answered.as_secs_f64() * 1e3);
        }
    }
    let (after, cpu_after) = (bench.counters().await?, bench.postgres_cpu_s());
    let tasks = (WARM_UP + args.tasks) as f64;
    stop.cancel();
    running.finish(LIMIT).await;
    to_start.sort_by(f64::total_cmp);
    to_answer.sort_by(f64::total_cmp);
    Ok(json!({
        "scenario": "latency",
        "machine": machine::facts(&bench),
        "backend": bench.backend(),
        "tasks": args.tasks,
        "pause_ms": args.pause_ms,
        "answer_p50_ms": percentile(&to_answer, 0.5),
        "answer_p99_ms": percentile(&to_answer, 0.99),
        "start_p50_ms": percentile(&to_start, 0.5),
        "start_p99_ms": percentile(&to_start, 0.99),
        "wal_bytes_per_task": (after.wal - before.wal) as f64 / tasks,
        "postgres_cpu_us_per_task": (cpu_after - cpu_before) * 1e6 / tasks,
    }))
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

async fn wait_until_ready(client: &reqwest::Client, url: &str) -> Result<(), Failure> {
    let asked = Instant::now();
    while asked.elapsed() < LIMIT {
        if client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        time::sleep(Duration::from_millis(20)).await;
    }
    Err(Failure::unavailable("the API did not become ready"))
}
