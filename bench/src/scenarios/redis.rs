//! Both queue backends, in turns: what telling workers through Redis costs and gives.

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;

use super::{Drain, Latency};
use crate::{
    figures::{Figures, Target},
    scenario::Scenario,
    server::{Bench, Setup},
};

/// Drain and latency with each queue backend in turns.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Redis {
    /// Tasks to drain.
    #[arg(long, default_value_t = 200_000)]
    tasks: usize,
    /// Tasks to time, one after the other.
    #[arg(long, default_value_t = 500)]
    timed: usize,
}

impl Scenario for Redis {
    const NAME: &'static str = "redis";
    const TARGETS: &'static [Target] = &[];

    fn smoke() -> Self {
        Self { tasks: 2_000, timed: 5 }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut figures = Figures::default();
        for (prefix, backend) in [("drain_", Backend::Redis), ("drain_postgres_", Backend::Postgres)] {
            let mut bench = Bench::start(setup, backend).await?;
            let drain = Drain { tasks: self.tasks, backend, ..Drain::defaults() };
            figures.extend(prefix, drain.drain(&mut bench).await?);
        }
        figures.set("drain_ratio", figures.get("drain_tasks_per_s") / figures.get("drain_postgres_tasks_per_s"));
        for (prefix, backend) in [("latency_", Backend::Redis), ("latency_postgres_", Backend::Postgres)] {
            let latency = Latency { tasks: self.timed, backend, ..Latency::defaults() };
            figures.extend(prefix, latency.run(setup).await?);
        }
        Ok(figures)
    }
}
