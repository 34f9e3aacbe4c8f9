//! Preloaded no-op tasks through real worker processes.

use std::time::Duration;

use dispatch::Backend;
use queue::{
    Json, Lane, NewTask, ReadyBatch,
    submit::{Submission, store},
    task::{DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT, Name, Options, Start},
};
use serde_json::{Value, json};
use service::exit::Failure;
use tokio::time::{self, Instant};

use crate::{machine, server::Bench};

/// Tasks stored in one statement while loading.
const LOAD_PAGE: usize = 4096;
/// Longest that a run may take.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    /// Tasks to drain.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) tasks: usize,
    /// Worker processes.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// WORKER_CONCURRENCY of each.
    #[arg(long, default_value_t = 5)]
    concurrency: u32,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
    /// How workers learn which tasks to claim.
    #[arg(long, value_enum, default_value_t)]
    backend: Backend,
}

impl Args {
    /// The same with another backend.
    pub(crate) fn on(&self, backend: Backend) -> Self {
        Self { backend, ..self.clone() }
    }
}

pub(crate) async fn run(args: Args) -> Result<Value, Failure> {
    let mut bench = Bench::start(args.backend).await?;
    let at_start = bench.counters().await?;
    let loading = Instant::now();
    load(&mut bench, args.tasks, args.payload_bytes).await?;
    let load_s = loading.elapsed().as_secs_f64();
    bench.run("ANALYZE").await?;
    bench.run("CHECKPOINT").await?;
    let before = bench.counters().await?;
    let cpu_before = bench.postgres_cpu_s();

    let mut workers = Vec::new();
    let draining = Instant::now();
    for _ in 0..args.workers {
        let environment =
            [("WORKER_CONCURRENCY", args.concurrency.to_string()), ("WORKER_BIND", "127.0.0.1:0".to_owned())];
        workers.push(bench.spawn("worker", &environment)?);
    }
    // Counting outcomes would slow the run down; that nothing is open is cheap to see.
    let open = "(SELECT count(*) FROM taskrow.ready) + (SELECT count(*) FROM taskrow.leases)";
    let mut first = None;
    while bench.number(open).await? > 0 {
        if first.is_none() && bench.number("SELECT count(*) FROM taskrow.leases").await? > 0 {
            first = Some(draining.elapsed());
        }
        if draining.elapsed() > LIMIT {
            return Err(Failure::software(format!("not drained within {LIMIT:?}")));
        }
        time::sleep(Duration::from_millis(5)).await;
    }
    let started_s = first.unwrap_or_default().as_secs_f64();
    let drain_s = draining.elapsed().as_secs_f64();
    let postgres_cpu_s = bench.postgres_cpu_s() - cpu_before;
    let worker_cpu_s: f64 = workers.iter().map(|worker| machine::cpu_s(worker.0.id())).sum();
    let rss: Vec<f64> = workers.iter().map(|worker| machine::rss_mb(&worker.0)).collect();
    let done = bench.number("SELECT count(*) FROM taskrow.outcomes WHERE status = 1 AND result IS NOT NULL").await?;
    if done != args.tasks as i64 {
        return Err(Failure::software(format!("{done} of {} tasks have a result", args.tasks)));
    }
    drop(workers);
    // Backends send their statistics when they end.
    time::sleep(Duration::from_secs(1)).await;
    let after = bench.counters().await?;
    let tasks = args.tasks as f64;
    Ok(json!({
        "scenario": "drain",
        "machine": machine::facts(&bench),
        "backend": bench.backend(),
        "tasks": args.tasks,
        "workers": args.workers,
        "concurrency": args.concurrency,
        "load_tasks_per_s": (tasks / load_s).round(),
        "start_up_s": started_s,
        "tasks_per_s": (tasks / (drain_s - started_s)).round(),
        "wal_bytes_per_task_submit": (before.wal - at_start.wal) as f64 / tasks,
        "wal_bytes_per_task_run": (after.wal - before.wal) as f64 / tasks,
        "dead_rows_per_task": (after.dead - before.dead) as f64 / tasks,
        "postgres_cpu_us_per_task": postgres_cpu_s * 1e6 / tasks,
        "worker_cpu_us_per_task": worker_cpu_s * 1e6 / tasks,
        "worker_rss_mb": rss,
    }))
}

async fn load(bench: &mut Bench, tasks: usize, payload_bytes: usize) -> Result<(), Failure> {
    let payload = format!(r#"{{"input":"{}"}}"#, "x".repeat(payload_bytes.saturating_sub(12)));
    let payload = Json::parse(payload.as_bytes()).map_err(Failure::usage)?;
    let name = |text: &str| Name::new(text).map_err(Failure::usage);
    let task = NewTask {
        options: Options {
            lane: Lane { queue: name("default")?, kind: name("echo")? },
            priority: 0,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            timeout: DEFAULT_TIMEOUT,
            start: Start::Now,
        },
        payload,
    };
    let mut left = tasks;
    while left > 0 {
        let page = left.min(LOAD_PAGE);
        let submission = Submission::new(vec![task.clone(); page]);
        bench.link.run(async |connection| store(connection, &submission).await).await.map_err(Failure::software)?;
        let ready =
            submission.batches().map(|(id, options)| ReadyBatch { id, lane: options.lane.clone(), priority: 0 });
        bench.publish(ready.collect()).await?;
        left -= page;
    }
    Ok(())
}
