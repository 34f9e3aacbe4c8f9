//! Starts everything in order, and stops it in the reverse one.

use std::{future::Future, time::Duration};

use api::Api;
use schema::migrate;
use service::{backoff::jittered, database::Database, exit::Failure, shutdown, tasks::Tasks, tokens::Tokens};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use worker::{CleanupArgs, Process, clean_up};

use crate::{Cli, postgres::Postgres, redis::Redis};

/// A local database is there within this or not at all.
const MIGRATE_DEADLINE: Duration = Duration::from_secs(30);
/// A cluster has a CronJob for this.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(3600);

/// Runs until Ctrl-C.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    cli.api.validate()?;
    let worker_config = cli.worker.config()?;
    let tokens = cli.tokens.clone().tokens()?;
    let stop = shutdown::on_signal(&Tasks::new())?;
    let redis = Redis::start(&cli.dispatch).await?;
    let served = match Postgres::start(&cli.database, &cli.data).await {
        Ok(postgres) => {
            let served = serve(cli, worker_config, tokens, &postgres, &redis, stop).await;
            postgres.stop().await;
            served
        }
        Err(failure) => Err(failure),
    };
    redis.stop().await;
    served
}

async fn serve(
    cli: Cli,
    worker_config: worker::WorkerConfig,
    tokens: Option<Tokens>,
    postgres: &Postgres,
    redis: &Redis,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let database = &postgres.database;
    let api = Api::bind(cli.api, database.clone(), redis.dispatch.clone()).await?.guarded_by(tokens.clone());
    let builder = cli.worker.builder()?.dispatch(redis.dispatch.clone());
    let worker = builder.build(worker_config, database.clone());
    let worker = Process::bind(worker, cli.worker.bind).await?.guarded_by(tokens);
    tokio::select! {
        migrated = migrate::up(database, cli.cleanup.days_ahead, MIGRATE_DEADLINE) => {
            let done = migrated.map_err(Failure::unavailable)?;
            info!(applied = done.applied.len(), partitions = done.partitions.len(), "migrated");
        }
        () = stop.cancelled() => return Ok(()),
    }
    tell(&api.local_addr().to_string(), &worker.local_addr()?.to_string(), postgres.psql(), redis.cli());
    let cleaning = clean_up_hourly(database.clone(), cli.cleanup, stop.clone());
    let (api, worker, ()) =
        tokio::join!(stopping(&stop, api.run(stop.clone())), stopping(&stop, worker.run(stop.clone())), cleaning);
    api.and(worker)
}

/// Stops everything when one part ends, whyever it does.
async fn stopping<T>(stop: &CancellationToken, part: impl Future<Output = T>) -> T {
    let end = part.await;
    stop.cancel();
    end
}

async fn clean_up_hourly(database: Database, args: CleanupArgs, stop: CancellationToken) {
    while stop.run_until_cancelled(time::sleep(jittered(CLEANUP_INTERVAL))).await.is_some() {
        match clean_up(&database, &args).await {
            Ok(cleaned) => info!(?cleaned, "cleaned up"),
            Err(failure) => warn!(%failure, "could not clean up"),
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is for the person at the terminal")]
fn tell(api: &str, worker: &str, psql: Option<String>, redis_cli: Option<String>) {
    println!(
        "
  API      http://{api}     docs: http://{api}/docs
  Worker   http://{worker}     health and metrics
"
    );
    for (server, command) in [("Postgres", psql), ("Redis   ", redis_cli)] {
        if let Some(command) = command {
            println!("  {server} {command}\n");
        }
    }
    println!(
        "  Try:     curl -s -X POST http://{api}/tasks -H 'content-type: application/json' -d '{{\"input\":\"hello\"}}'
           curl -s http://{api}/tasks/<TASK_ID>

  Ctrl-C stops everything; the data stays.
"
    );
}
