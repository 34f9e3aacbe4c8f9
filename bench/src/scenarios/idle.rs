//! A system with nothing to do.

use std::time::Duration;

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;
use tokio::time;

use crate::{
    figures::{Figures, Target, at_most},
    machine,
    scenario::Scenario,
    server::{Bench, Setup, wait_until_ready},
};

/// Workers and an api with nothing to do: what they ask of Postgres, and what they use.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Idle {
    /// Worker processes.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

impl Scenario for Idle {
    const NAME: &'static str = "idle";
    const TARGETS: &'static [Target] = &[
        at_most("queries_per_s", 2.0),
        at_most("cpu_percent", 1.0),
        at_most("rss_mb_api", 25.0),
        at_most("rss_mb_worker", 25.0),
    ];

    fn smoke() -> Self {
        Self { workers: 1, seconds: 1 }
    }

    /// Figures are per process; of processor and memory, those of the one that uses most.
    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let (api, _) = bench.spawn_api(&[]).await?;
        let mut workers = Vec::new();
        for _ in 0..self.workers {
            let (worker, address) = bench.spawn_worker(5)?;
            wait_until_ready(&address).await?;
            workers.push(worker);
        }
        let processes: Vec<u32> = workers.iter().chain([&api]).map(|process| process.id()).collect();
        // What processes do when they start is not idling.
        time::sleep(Duration::from_secs(self.seconds.min(10))).await;
        let queries_before = transactions(&mut bench).await?;
        let cpu_before: Vec<f64> = processes.iter().map(|process| machine::cpu_s(*process)).collect();
        let postgres_before = bench.postgres_cpu_s();
        time::sleep(Duration::from_secs(self.seconds)).await;
        let seconds = self.seconds as f64;
        let cpu = processes.iter().zip(cpu_before).map(|(process, before)| machine::cpu_s(*process) - before);
        let cpu = cpu.fold(0.0, f64::max);
        let postgres_cpu = bench.postgres_cpu_s() - postgres_before;
        let queries = transactions(&mut bench).await? - queries_before;
        let rss = workers.iter().map(|worker| machine::rss_mb(worker.id())).fold(0.0, f64::max);
        let mut figures = Figures::default();
        figures.set("queries_per_s", queries / seconds / processes.len() as f64);
        figures.set("cpu_percent", cpu / seconds * 100.0);
        figures.set("cpu_percent_postgres", postgres_cpu / seconds * 100.0);
        figures.set("rss_mb_api", machine::rss_mb(api.id()));
        figures.set("rss_mb_worker", rss);
        Ok(figures)
    }
}

/// Transactions of the database until now, which the next one after a while has written down; ours are among them, but for a few.
async fn transactions(bench: &mut Bench) -> Result<f64, Failure> {
    let query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    Ok(bench.number(query).await? as f64)
}
