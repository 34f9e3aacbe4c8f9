//! `api`: the HTTP API as a process.

use std::process::ExitCode;

use api::{Api, ApiArgs};
use clap::Parser;
use dispatch::DispatchArgs;
use service::{
    database::DatabaseArgs,
    exit::{self, Failure},
    shutdown,
    tasks::Tasks,
    telemetry::{self, TelemetryArgs},
};

/// Taskrow's HTTP API: takes tasks, answers with their results. Docs at /docs, OpenAPI at /openapi.json.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    dispatch: DispatchArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match exit::parse::<Cli>() {
        Ok(cli) => exit::report_result(run(cli).await),
        Err(code) => code,
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    telemetry::init(&cli.telemetry)?;
    let api = Api::bind(cli.api, cli.database.database("api")?, cli.dispatch.dispatch()?).await?;
    api.run(shutdown::on_signal(&Tasks::new())?).await
}
