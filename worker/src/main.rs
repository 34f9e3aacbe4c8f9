//! `worker`: runs tasks of the built-in kinds.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dispatch::DispatchArgs;
use service::{
    database::DatabaseArgs,
    exit::{self, Failure},
    shutdown,
    tasks::Tasks,
    telemetry::{self, TelemetryArgs},
    tokens::TokenArgs,
};
use worker::{CleanupArgs, Process, WorkerArgs, clean_up};

/// Runs tasks of the kinds `echo` and `sleep`, and of those in its file of handlers. SIGTERM: finishes what runs, gives the rest back, exits 0.
///
/// Exit codes: 0 stopped, 64 bad configuration, 69 a port is taken or the database was away during `cleanup`, 70 anything else.
#[derive(Parser)]
#[command(name = "worker", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    worker: WorkerArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    #[command(flatten)]
    dispatch: DispatchArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Drop old tasks and make partitions ahead, once. Prints counts as JSON.
    Cleanup(CleanupArgs),
}

fn main() -> ExitCode {
    // Before anything else, and before there are threads: this may be the process of a task.
    worker::launch().unwrap_or_else(start)
}

#[tokio::main]
async fn start() -> ExitCode {
    match exit::parse::<Cli>() {
        Ok(cli) => exit::report_result(run(cli).await),
        Err(code) => code,
    }
}

#[expect(clippy::print_stdout, reason = "the answer of `worker cleanup` is its output")]
async fn run(cli: Cli) -> Result<(), Failure> {
    telemetry::init(&cli.telemetry)?;
    let database = cli.database.database("worker")?;
    if let Some(Command::Cleanup(args)) = cli.command {
        let cleaned = clean_up(&database, &args).await?;
        println!("{}", serde_json::to_string(&cleaned).map_err(Failure::software)?);
        return Ok(());
    }
    let config = cli.worker.config()?;
    let tokens = cli.tokens.tokens()?;
    let worker = cli.worker.builder()?.dispatch(cli.dispatch.dispatch()?).build(config, database);
    let process = Process::bind(worker, cli.worker.bind).await?.guarded_by(tokens);
    let stop = shutdown::on_signal(&Tasks::new())?;
    process.run(stop).await
}
