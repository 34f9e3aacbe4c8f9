//! The whole system in one foreground process: a private durable Postgres, the migrations, the API and a worker.

mod postgres;
mod redis;
mod system;

use std::{path::PathBuf, process::ExitCode};

use api::ApiArgs;
use clap::{CommandFactory, Parser};
use dispatch::DispatchArgs;
use service::{
    database::DatabaseArgs,
    exit,
    telemetry::{self, TelemetryArgs},
    tokens::TokenArgs,
};
use worker::{CleanupArgs, WorkerArgs};

/// Runs Taskrow on this machine: Postgres (a private one, kept between runs; DATABASE_URL names another), the API and a worker. With
/// `--queue-backend redis` also a private Redis (REDIS_ADDR names another).
///
/// Ctrl-C stops it in order. Exit codes: 0 stopped, 64 bad configuration, 69 no Postgres, no Redis or a port is taken, 70 anything else.
#[derive(Parser)]
#[command(name = "taskrow", version)]
struct Cli {
    /// Where the private Postgres keeps its data.
    #[arg(long, env = "TASKROW_DATA", default_value = ".taskrow/dev")]
    data: PathBuf,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    worker: WorkerArgs,
    #[command(flatten)]
    cleanup: CleanupArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    #[command(flatten)]
    dispatch: DispatchArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

fn main() -> ExitCode {
    // Before anything else: this may be the process of a task.
    worker::launch().unwrap_or_else(start)
}

#[tokio::main]
async fn start() -> ExitCode {
    // A local run is nobody else's business, and needs no time for load balancers.
    let command = Cli::command()
        .mut_arg("api-bind", |arg| arg.default_value("127.0.0.1:8080"))
        .mut_arg("worker-bind", |arg| arg.default_value("127.0.0.1:8081"))
        .mut_arg("api-drain-delay", |arg| arg.default_value("0s"));
    match exit::parse_as::<Cli>(command) {
        Ok(cli) => exit::report_result(match telemetry::init(&cli.telemetry) {
            Ok(()) => system::run(cli).await,
            Err(failure) => Err(failure),
        }),
        Err(code) => code,
    }
}
