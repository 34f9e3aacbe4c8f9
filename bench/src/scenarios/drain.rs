//! Preloaded no-op tasks through real worker processes, results stored.

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;

use crate::{
    figures::{Figures, Target, at_least, at_most},
    limit,
    load::load,
    machine,
    scenario::Scenario,
    server::{Bench, Setup},
    watch::Progress,
};

/// Preloaded no-op tasks through real worker processes: throughput, WAL and dead rows per task.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Drain {
    /// Tasks to drain.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) tasks: usize,
    /// Worker processes.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: usize,
    /// WORKER_CONCURRENCY of each.
    #[arg(long, default_value_t = 5)]
    pub(crate) concurrency: u32,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    pub(crate) payload_bytes: usize,
    /// How workers learn which tasks to claim.
    #[arg(long, value_enum, default_value_t)]
    #[serde(skip)]
    pub(crate) backend: Backend,
}

impl Scenario for Drain {
    const NAME: &'static str = "drain";
    const TARGETS: &'static [Target] = &[
        at_least("tasks_per_s", 80_000.0),
        at_least("share_of_limit", 0.5),
        at_most("wal_bytes_per_task", 550.0),
        at_most("dead_rows_per_task", 0.1),
    ];

    fn smoke() -> Self {
        Self { tasks: 2_000, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, self.backend).await?;
        let mut figures = self.drain(&mut bench).await?;
        let limit = limit::tasks_per_s(&mut bench, self.tasks, self.payload_bytes).await?;
        figures.set("limit_tasks_per_s", limit);
        figures.set("share_of_limit", figures.get("tasks_per_s") / limit);
        Ok(figures)
    }
}

impl Drain {
    /// The rate on a database of its own.
    pub(crate) async fn rate_on(&self, setup: &Setup) -> Result<f64, Failure> {
        self.rate(&mut Bench::start(setup, self.backend).await?).await
    }

    /// Loads and drains once; tasks per second.
    pub(crate) async fn rate(&self, bench: &mut Bench) -> Result<f64, Failure> {
        load(bench, self.tasks, self.payload_bytes).await?;
        bench.settle().await?;
        let took = Progress::start(bench, self.workers, self.concurrency)?.until_drained(self.tasks).await?;
        Ok(self.tasks as f64 / took.as_secs_f64())
    }

    /// Loads and drains once.
    pub(crate) async fn drain(&self, bench: &mut Bench) -> Result<Figures, Failure> {
        let at_start = bench.counters().await?;
        load(bench, self.tasks, self.payload_bytes).await?;
        bench.settle().await?;
        let loaded = bench.counters().await?;
        let cpu_before = bench.postgres_cpu_s();

        let progress = Progress::start(bench, self.workers, self.concurrency)?;
        let took = progress.until_drained(self.tasks).await?;
        let postgres_cpu_s = bench.postgres_cpu_s() - cpu_before;
        let worker_cpu_s: f64 = progress.workers().map(machine::cpu_s).sum();
        let rss = progress.workers().map(machine::rss_mb).fold(0.0, f64::max);
        drop(progress);
        let done =
            bench.number("SELECT count(*) FROM taskrow.outcomes WHERE status = 1 AND result IS NOT NULL").await?;
        if done != self.tasks as i64 {
            return Err(Failure::software(format!("{done} of {} tasks have a result", self.tasks)));
        }
        let drained = bench.counters().await?;

        let tasks = self.tasks as f64;
        let mut figures = Figures::default();
        figures.set("tasks_per_s", tasks / took.as_secs_f64());
        figures.set("wal_bytes_per_task", (drained.wal - at_start.wal) as f64 / tasks);
        figures.set("wal_bytes_per_task_run", (drained.wal - loaded.wal) as f64 / tasks);
        figures.set("dead_rows_per_task", (drained.dead - loaded.dead) as f64 / tasks);
        figures.set("postgres_cpu_us_per_task", postgres_cpu_s * 1e6 / tasks);
        figures.set("worker_cpu_us_per_task", worker_cpu_s * 1e6 / tasks);
        figures.set("worker_rss_mb", rss);
        Ok(figures)
    }
}
