//! Measures Taskrow on this machine, with real processes against a private Postgres that is as durable as in production.
//!
//! `cargo run --release -p bench -- drain`, `.. latency`, `.. backends`. Every scenario prints its figures as JSON, with the facts that they
//! depend on: cores, Postgres version and settings.

mod backends;
mod drain;
mod latency;
mod machine;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service::exit::{self, Failure};

#[derive(Parser)]
#[command(name = "bench", version, about = "Measures Taskrow against a private Postgres")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Preloaded no-op tasks through real worker processes: throughput, WAL and dead rows per task, memory.
    Drain(drain::Args),
    /// An idle system and one task at a time: from the POST being sent to the handler's start, and to the outcome.
    Latency(latency::Args),
    /// Drain and latency with each queue backend in turns: medians of both.
    Backends(backends::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match exit::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let figures = match cli.scenario {
        Scenario::Drain(args) => drain::run(args).await,
        Scenario::Latency(args) => latency::run(args).await,
        Scenario::Backends(args) => backends::run(args).await,
    };
    exit::report_result(figures.and_then(|figures| print(&figures)))
}

#[expect(clippy::print_stdout, reason = "figures are the output")]
fn print(figures: &serde_json::Value) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(figures).map_err(Failure::software)?);
    Ok(())
}
