//! More worker processes on the same machine.

use clap::Parser;
use serde::Serialize;
use service::exit::Failure;

use super::Drain;
use crate::{
    figures::{Figures, Target, at_least},
    scenario::Scenario,
    server::Setup,
};

const STEPS: [usize; 4] = [1, 2, 4, 8];

/// The drain with 1, 2, 4 and 8 worker processes.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Scale {
    /// Tasks of each drain.
    #[arg(long, default_value_t = 200_000)]
    tasks: usize,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

impl Scenario for Scale {
    const NAME: &'static str = "scale";
    const TARGETS: &'static [Target] = &[at_least("worst_share_of_1", 0.9)];

    fn smoke() -> Self {
        Self { tasks: 2_000, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut figures = Figures::default();
        let mut points = Vec::new();
        for workers in STEPS {
            let drain = Drain { tasks: self.tasks, workers, payload_bytes: self.payload_bytes, ..Drain::defaults() };
            let rate = drain.rate_on(setup).await?;
            figures.set(format!("tasks_per_s_{workers}"), rate);
            points.push((workers as f64, rate));
        }
        let worst = points.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
        figures.set("worst_share_of_1", worst / figures.get("tasks_per_s_1"));
        figures.curves.insert("tasks_per_s_by_workers".to_owned(), points);
        Ok(figures)
    }
}
