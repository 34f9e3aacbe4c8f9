//! `chaos`: tries to make Taskrow lose a task, or record one twice.

use std::process::ExitCode;

use chaos::{
    probe::{self, ProbeArgs},
    run::{self, RunArgs},
};
use clap::{Parser, Subcommand};
use service::{
    exit::{self, Failure},
    telemetry::{self, LogFormat, TelemetryArgs},
};

/// Runs apis and workers under load and faults, and checks what they, their clients and the database saw.
///
/// Its last line is the verdict. Exit codes: 0 nothing was wrong, 1 something was, 64 a bad flag, 69 a server is missing, 70 the run itself failed.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run it.
    Run(RunArgs),
    /// A worker of a run.
    #[command(hide = true)]
    Worker(ProbeArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    match exit::parse::<Cli>() {
        Ok(cli) => match execute(cli.command).await {
            Ok(code) => code,
            Err(failure) => exit::report_result(Err(failure)),
        },
        Err(code) => code,
    }
}

#[expect(clippy::print_stdout, reason = "the report is the output")]
async fn execute(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Worker(args) => probe::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Run(args) => {
            telemetry::init(&TelemetryArgs { log_format: LogFormat::Text, log_level: "info".to_owned() })?;
            let report = run::run(args).await?;
            println!("{report}");
            Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
    }
}
