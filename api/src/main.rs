//! `api`: the HTTP API as a process.

use std::process::ExitCode;

use api::{
    Api, ApiArgs,
    load_test::{self, LoadTestArgs},
    token_command::{self, TokenCommand},
};
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

/// A request makes and drops some hundred small objects; this takes a fifth off the processor time of one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Taskrow's HTTP API: takes tasks, answers with their results. Docs at /docs, OpenAPI at /openapi.json.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    api: ApiArgs,
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
    /// Post tasks to a running API, wait until all are final, log rates, latencies and queue depth.
    ///
    /// Waits for /ready, then posts one task a request. 503s and lost connections are retried; a request whose answer was lost counts as
    /// unknown, for it may have stored one task more. The last line is a summary. It is a client of the API only: settings of Postgres
    /// are not used.
    ///
    /// Exit codes: 0 every task was accepted and is final (done, failed or cancelled), 64 a bad flag, 69 the API was not ready in time or
    /// is away at the deadline, 70 a task is missing, not final or not accepted at the deadline, a request was refused for good, or a
    /// signal stopped the run.
    LoadTest(LoadTestArgs),
    /// Make API tokens.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    match exit::parse::<Cli>() {
        Ok(cli) => exit::report_result(run(cli).await),
        Err(code) => code,
    }
}

#[expect(clippy::print_stdout, reason = "the answer of `api token` is its output")]
async fn run(cli: Cli) -> Result<(), Failure> {
    telemetry::init(&cli.telemetry)?;
    match cli.command {
        Some(Command::LoadTest(args)) => return load_test::run(&args, shutdown::on_signal(&Tasks::new())?).await,
        Some(Command::Token(command)) => {
            print!("{}", token_command::run(command)?);
            return Ok(());
        }
        None => {}
    }
    let tokens = cli.tokens.tokens()?;
    let api = Api::bind(cli.api, cli.database.database("api")?, cli.dispatch.dispatch()?).await?.guarded_by(tokens);
    api.run(shutdown::on_signal(&Tasks::new())?).await
}
