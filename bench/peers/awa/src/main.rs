//! awa: <https://github.com/hardbyte/awa>

use std::{process::ExitCode, time::Duration};

use awa::{AwaError, Client, InsertOpts, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig};
use awa::{insert_with, migrations, model::insert::params_with};
use peer::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};

#[path = "../../rust/peer.rs"]
mod peer;

const QUEUE: &str = "noop";
const STOP: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize, JobArgs)]
struct Noop {
    input: String,
}

/// The shape of "Hot-Queue Claim Control" (docs/configuration.md) and of the offered-rate benchmark (docs/benchmarking.md). One process: the
/// latter found more processes slower. Measured on 2 busy cores, jobs/s, mean of 2 drains of 30,000, unsteady by a factor of two: max_workers
/// 100: 5,600, 512: 9,100, 1,024: 6,900, 2,048: 6,000; enqueue_shards 1: 6,500, 16: 7,500; claimers 4: 7,500; claim batches of 2,048 and more:
/// 1,000 to 1,600. After ANALYZE, as in that benchmark: 1,024: 12,400, 4,096 with claim batches of 1,024: 11,000.
fn chosen() -> Value {
    peer::settings(json!({
        "max_workers": 1024, "claimers": 1, "claim_batch_size": 512, "enqueue_shards": 4,
        "fill_batch": 10000,
    }))
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
        "name": "awa",
        "version": env!("CARGO_PKG_VERSION"),
        "settings": format!(
            "1 process, max_workers {}, claimers {}, claim_batch_size {}, enqueue_shards {}, no deadline, queue storage, a pool of 20",
            number("max_workers"), number("claimers"), number("claim_batch_size"), number("enqueue_shards"),
        ),
        "keeps_record": false,
    }))
}

async fn pool(connections: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(connections).connect(&peer::database_url()).await?)
}

fn store() -> Result<QueueStorage> {
    Ok(QueueStorage::new(QueueStorageConfig::default())?)
}

fn noop() -> Noop {
    Noop { input: "hello".into() }
}

fn options() -> InsertOpts {
    InsertOpts { queue: QUEUE.into(), ..Default::default() }
}

async fn start(pool: &PgPool, config: QueueConfig) -> Result<Client> {
    let handler = |_: Noop, _: &_| async {
        peer::start_handler();
        Ok(JobResult::Completed)
    };
    let client = Client::builder(pool.clone()).queue(QUEUE, config).register::<Noop, _, _>(handler).build()?;
    client.start().await?;
    Ok(client)
}

/// A worker of a new database makes queue storage, the engine of 0.6, the active one when it starts.
async fn prepare() -> Result {
    let pool = pool(10).await?;
    migrations::run(&pool).await?;
    start(&pool, QueueConfig::default()).await?.shutdown(STOP).await;
    sqlx::query("INSERT INTO awa.queue_meta (queue, enqueue_shards) VALUES ($1, $2) ON CONFLICT (queue) DO UPDATE SET enqueue_shards = EXCLUDED.enqueue_shards")
        .bind(QUEUE)
        .bind(number("enqueue_shards") as i16)
        .execute(&pool)
        .await?;
    Ok(json!({}))
}

async fn fill(jobs: u64) -> Result {
    let (pool, store) = (pool(2).await?, store()?);
    let job = params_with(&noop(), options())?;
    let result = peer::fill(jobs, number("fill_batch"), async |count| {
        store.enqueue_params_copy(&pool, &vec![job.clone(); count as usize]).await?;
        Ok(())
    })
    .await;
    // As the peer's own backlog benchmark does between its fill and its drain.
    sqlx::query("ANALYZE awa.ready_entries").execute(&pool).await?;
    result
}

/// How many jobs have ended, as `queue_counts` sums it; `queue_counts` itself takes seconds after a drain of thousands.
async fn ended(pool: &PgPool) -> Result<i64> {
    let sql = "SELECT ((SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)
        + (SELECT count(*) FROM awa.done_entries)
        + (SELECT coalesce(sum(pruned_completed_count + pruned_failed_count), 0) FROM awa.queue_terminal_rollups))::bigint";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

async fn drain(jobs: u64) -> Result {
    let pool = pool(20).await?;
    let config = QueueConfig {
        max_workers: number("max_workers") as u32,
        claimers: number("claimers") as u16,
        claim_batch_size: number("claim_batch_size") as usize,
        poll_interval: Duration::from_millis(50),
        deadline_duration: Duration::ZERO,
        ..Default::default()
    };
    let before = ended(&pool).await?;
    let client = start(&pool, config).await?;
    let result = peer::drain(jobs, async || Ok(ended(&pool).await? >= before + jobs as i64)).await;
    client.shutdown(STOP).await;
    result
}

async fn single(jobs: u64, callers: u64) -> Result {
    let pool = pool(callers as u32).await?;
    let submit = move || {
        let pool = pool.clone();
        async move {
            // The first jobs of a shard race for the sequence it gets then, and the losers are to submit again.
            loop {
                match insert_with(&pool, &noop(), options()).await {
                    Err(AwaError::UniqueConflict { .. }) => {}
                    inserted => break inserted.map(drop).map_err(Into::into),
                }
            }
        }
    };
    peer::single(jobs, callers, submit).await
}

async fn latency(jobs: u64, pause_ms: u64) -> Result {
    let pool = pool(10).await?;
    let config = QueueConfig { deadline_duration: Duration::ZERO, ..Default::default() };
    let client = start(&pool, config).await?;
    let result = peer::latency(jobs, pause_ms, async || {
        insert_with(&pool, &noop(), options()).await?;
        Ok(())
    })
    .await;
    client.shutdown(STOP).await;
    result
}

async fn state() -> Result {
    let counts = store()?.queue_counts(&pool(1).await?, QUEUE).await?;
    Ok(json!({ "open": counts.available + counts.running, "done": counts.terminal }))
}
