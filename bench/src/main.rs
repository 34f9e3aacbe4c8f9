//! Measures Taskrow on this machine: real processes, and a private Postgres that is as durable as in production.
//!
//! `bench drain`, `bench latency`, .. measure one thing each; without a scenario all of them. Each figure is the median over runs, and each
//! ratio is taken within one run. `docs/performance.md` says what the figures mean.

mod figures;
mod floor;
mod http;
mod limit;
mod load;
mod machine;
mod peers;
mod pgbench;
mod plot;
mod report;
mod scenario;
mod scenarios;
mod server;
mod together;
mod watch;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use service::exit::{self, Failure};

use crate::{
    plot::Plot,
    scenario::{Measured, Scenario, measure},
    scenarios::{
        Backlog, Compare, Connections, Drain, HeldSnapshot, Idle, Latency, ReadHttp, Redis, Scale, Steady, SubmitBatch,
        SubmitHttp,
    },
    server::Setup,
};

#[derive(Parser)]
#[command(name = "bench", version, about = "Measures Taskrow; without a scenario, everything")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Runs of each scenario. Figures are medians.
    #[arg(long, global = true, default_value_t = 3)]
    runs: usize,
    /// Where to write the figures as JSON, too.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A database on the server to measure, with the right to create others; without it a private server is started.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// With every scenario: the least work that goes through all of it, once. Proves the instrument and measures nothing.
    #[arg(long)]
    smoke: bool,
    /// With every scenario: the largest backlog is 2 million tasks.
    #[arg(long)]
    quick: bool,
}

#[derive(Subcommand)]
#[command(rename_all = "snake_case")]
enum Command {
    #[command(flatten)]
    Measure(Choice),
    Plot(Plot),
}

#[derive(Subcommand)]
#[command(rename_all = "snake_case")]
enum Choice {
    Drain(Drain),
    SubmitHttp(SubmitHttp),
    ReadHttp(ReadHttp),
    SubmitBatch(SubmitBatch),
    Steady(Steady),
    Latency(Latency),
    Backlog(Backlog),
    HeldSnapshot(HeldSnapshot),
    Scale(Scale),
    Idle(Idle),
    Connections(Connections),
    Redis(Redis),
    Compare(Compare),
}

/// Where measurements go.
struct Session {
    setup: Setup,
    runs: usize,
    smoke: bool,
    measured: Vec<Measured>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match exit::parse::<Cli>() {
        Ok(cli) => exit::report_result(run(cli).await),
        Err(code) => code,
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let choice = match cli.command {
        Some(Command::Plot(plot)) => return plot.run(),
        Some(Command::Measure(choice)) => Some(choice),
        None => None,
    };
    let setup = Setup { database_url: cli.database_url };
    // What is measured gets a server of its own, what is tried out does not.
    let (_server, setup) = if cli.smoke { setup.shared().await? } else { (None, setup) };
    let postgres = setup.facts().await?;
    say(&format!("{}\npostgres {postgres}\n", machine::facts()));
    let runs = if cli.smoke { 1 } else { cli.runs };
    let mut session = Session { setup, runs, smoke: cli.smoke, measured: Vec::new() };
    match choice {
        Some(choice) => session.one(choice).await?,
        None => session.all(cli.quick).await?,
    }
    match &cli.json {
        Some(file) => report::write(file, &report::document(&postgres, &session.measured)),
        None => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "figures are the output")]
fn say(text: &str) {
    println!("{text}");
}

impl Session {
    async fn one(&mut self, choice: Choice) -> Result<(), Failure> {
        match choice {
            Choice::Drain(scenario) => self.measure(&scenario).await,
            Choice::SubmitHttp(scenario) => self.measure(&scenario).await,
            Choice::ReadHttp(scenario) => self.measure(&scenario).await,
            Choice::SubmitBatch(scenario) => self.measure(&scenario).await,
            Choice::Steady(scenario) => self.measure(&scenario).await,
            Choice::Latency(scenario) => self.measure(&scenario).await,
            Choice::Backlog(scenario) => self.measure(&scenario).await,
            Choice::HeldSnapshot(scenario) => self.measure(&scenario).await,
            Choice::Scale(scenario) => self.measure(&scenario).await,
            Choice::Idle(scenario) => self.measure(&scenario).await,
            Choice::Connections(scenario) => self.measure(&scenario).await,
            Choice::Redis(scenario) => self.measure(&scenario).await,
            Choice::Compare(scenario) => self.measure(&scenario).await,
        }
    }

    async fn all(&mut self, quick: bool) -> Result<(), Failure> {
        self.measure(&self.usual::<Drain>()).await?;
        self.measure(&self.usual::<SubmitHttp>()).await?;
        self.measure(&self.usual::<ReadHttp>()).await?;
        self.measure(&self.usual::<SubmitBatch>()).await?;
        self.measure(&self.usual::<Steady>()).await?;
        self.measure(&self.usual::<Latency>()).await?;
        self.measure(&self.usual::<Backlog>().quick(quick)).await?;
        self.measure(&self.usual::<HeldSnapshot>()).await?;
        self.measure(&self.usual::<Scale>()).await?;
        self.measure(&self.usual::<Idle>()).await?;
        self.measure(&self.usual::<Connections>()).await?;
        self.measure(&self.usual::<Redis>()).await
    }

    fn usual<S: Scenario>(&self) -> S {
        if self.smoke { S::smoke() } else { S::defaults() }
    }

    async fn measure<S: Scenario>(&mut self, scenario: &S) -> Result<(), Failure> {
        let measured = measure(scenario, &self.setup, self.runs).await?;
        say(&measured.table());
        self.measured.push(measured);
        Ok(())
    }
}
