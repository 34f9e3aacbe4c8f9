//! graphile_worker (Rust): <https://leo91000.github.io/graphile_worker_rs>

use std::{process::ExitCode, sync::Arc, time::Duration};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use peer::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::JoinHandle;

#[path = "../../rust/peer.rs"]
mod peer;

const SCHEMA: &str = "graphile_worker";

#[derive(Clone, Serialize, Deserialize)]
struct Noop {
    input: String,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        peer::start_handler();
        Ok::<(), String>(())
    }
}

/// Those of the peer's own throughput benchmark (`benches/perf_test.rs`). Measured on 2 busy cores, jobs/s, median of 3 drains of 100,000, each
/// with one setting changed: none 35,200, concurrency 24: 33,300, 100: 37,500, local queue 2,000: 28,700, 10,000: 34,500, two local queues of
/// 2,500: 35,700, batch delay 1 ms: 33,200, 20 ms: 31,000, a pool of 100 as there: 30,400; all within the noise of that day but the smaller
/// local queue. Local queue 500 and concurrency 24: 29,400.
fn chosen() -> Value {
    peer::settings(
        json!({ "concurrency": 500, "local_queue": 5000, "complete_delay_ms": 5, "pool": 20, "fill_batch": 10000 }),
    )
}

fn number(name: &str) -> u64 {
    chosen()[name].as_u64().unwrap_or_default()
}

#[tokio::main]
async fn main() -> ExitCode {
    peer::run(command).await
}

async fn command(name: &str, numbers: &[u64]) -> Result {
    match (name, numbers) {
        ("about", []) => about(),
        ("prepare", []) => prepare().await,
        ("fill", &[jobs]) => fill(jobs).await,
        ("drain", &[jobs]) => drain(jobs).await,
        ("single", &[jobs, callers]) => single(jobs, callers).await,
        ("latency", &[jobs, pause_ms]) => latency(jobs, pause_ms).await,
        ("state", []) => state().await,
        _ => Err(format!("unknown command: {name}").into()),
    }
}

fn about() -> Result {
    Ok(json!({
        "name": "graphile_worker",
        "version": env!("CARGO_PKG_VERSION"),
        "settings": format!(
            "1 process, concurrency {}, a local queue of {}, complete_job_batch_delay {} ms, sqlx, a pool of {}",
            number("concurrency"), number("local_queue"), number("complete_delay_ms"), number("pool"),
        ),
        "keeps_record": false,
    }))
}

async fn pool(connections: u64) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(connections as u32).connect(&peer::database_url()).await?)
}

async fn utils(connections: u64) -> Result<WorkerUtils> {
    Ok(WorkerUtils::new(pool(connections).await?, SCHEMA))
}

fn noop() -> Noop {
    Noop { input: "hello".into() }
}

type Running = (Arc<Worker>, JoinHandle<Result<()>>);

async fn start(options: WorkerOptions) -> Result<Running> {
    let worker = Arc::new(options.schema(SCHEMA).define_job::<Noop>().listen_os_shutdown_signals(false).init().await?);
    let running = worker.clone();
    Ok((worker, tokio::spawn(async move { Ok(running.run().await?) })))
}

async fn stop((worker, running): Running) -> Result<()> {
    worker.request_shutdown();
    running.await?
}

async fn prepare() -> Result {
    utils(1).await?.migrate().await?;
    Ok(json!({}))
}

async fn fill(jobs: u64) -> Result {
    let utils = utils(1).await?;
    let job = RawJobSpec {
        identifier: Noop::IDENTIFIER.into(),
        payload: serde_json::to_value(noop())?,
        spec: JobSpec::default(),
    };
    peer::fill(jobs, number("fill_batch"), async |count| {
        utils.add_raw_jobs(&vec![job.clone(); count as usize]).await?;
        Ok(())
    })
    .await
}

async fn drain(jobs: u64) -> Result {
    let asking = pool(1).await?;
    let local_queue = LocalQueueConfig::default().with_size(number("local_queue") as usize);
    let options = WorkerOptions::default()
        .pg_pool(pool(number("pool")).await?)
        .concurrency(number("concurrency") as usize)
        .poll_interval(Duration::from_millis(5))
        .complete_job_batch_delay(Duration::from_millis(number("complete_delay_ms")))
        .local_queue(local_queue);
    let running = start(options).await?;
    let result = peer::drain(jobs, async || {
        Ok(sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs)")
            .fetch_one(&asking)
            .await?)
    })
    .await;
    stop(running).await?;
    result
}

async fn single(jobs: u64, callers: u64) -> Result {
    let utils = utils(callers).await?;
    let submit = move || {
        let utils = utils.clone();
        async move {
            utils.add_job(noop(), JobSpec::default()).await?;
            Ok(())
        }
    };
    peer::single(jobs, callers, submit).await
}

async fn latency(jobs: u64, pause_ms: u64) -> Result {
    let utils = utils(1).await?;
    let running = start(WorkerOptions::default().pg_pool(pool(20).await?)).await?;
    let result = peer::latency(jobs, pause_ms, async || {
        utils.add_job(noop(), JobSpec::default()).await?;
        Ok(())
    })
    .await;
    stop(running).await?;
    result
}

async fn state() -> Result {
    let open: i64 =
        sqlx::query_scalar("SELECT count(*) FROM graphile_worker._private_jobs").fetch_one(&pool(1).await?).await?;
    Ok(json!({ "open": open, "done": null }))
}
