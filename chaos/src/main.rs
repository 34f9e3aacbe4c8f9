//! `chaos`: tries to make Taskrow lose a task, or record one twice.

use std::{path::PathBuf, process::ExitCode};

use chaos::{
    checker,
    probe::{self, ProbeArgs},
    report::Report,
    run::{self, RunArgs},
    upgrade::{self, UpgradeArgs},
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
    /// Replace the previous release by this one, and this one by the previous, under load.
    Upgrade(UpgradeArgs),
    /// Check what a run left in its directory once more.
    Check {
        /// The directory.
        dir: PathBuf,
    },
    /// A worker of a run.
    #[command(hide = true)]
    Worker(Box<ProbeArgs>),
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

#[expect(clippy::print_stdout, reason = "the verdict is the output")]
async fn execute(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Worker(args) => probe::run(*args).await.map(|()| ExitCode::SUCCESS),
        Command::Check { dir } => {
            let verdict = checker::check_directory(&dir).map_err(Failure::usage)?;
            println!("{verdict}");
            Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Run(args) => told(run::run(args)).await,
        Command::Upgrade(args) => told(upgrade::run(args)).await,
    }
}

#[expect(clippy::print_stdout, reason = "the report is the output")]
async fn told(run: impl Future<Output = Result<Report, Failure>>) -> Result<ExitCode, Failure> {
    telemetry::init(&TelemetryArgs { log_format: LogFormat::Text, log_level: "info".to_owned() })?;
    let report = run.await?;
    println!("{report}");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
