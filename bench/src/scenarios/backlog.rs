//! The drain rate in front of backlogs of different sizes.

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;

use crate::{
    figures::{Figures, Target, at_least},
    load::load,
    scenario::Scenario,
    server::{Bench, Setup},
    watch::Progress,
};

/// Tasks drained before the clock starts: a worker learns how much to claim from the first ones.
const WARM_UP: usize = 10_000;

/// The drain rate over the first tasks of small and large backlogs.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Backlog {
    /// Tasks drained while the clock runs.
    #[arg(long, default_value_t = 50_000)]
    tasks: usize,
    /// The largest backlog is 2 million instead of 10 million.
    #[arg(long)]
    quick: bool,
    /// Backlogs left when the clock stops, instead of the usual ones; the first is what others are compared with.
    #[arg(long, value_delimiter = ',')]
    backlogs: Vec<usize>,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

impl Scenario for Backlog {
    const NAME: &'static str = "backlog";
    const TARGETS: &'static [Target] =
        &[at_least("ratio_1m", 0.9), at_least("ratio_10m", 0.9), at_least("ratio_2m", 0.9)];

    fn smoke() -> Self {
        Self { tasks: 2_000, backlogs: vec![1_000, 20_000], ..Self::defaults() }
    }

    /// The smallest is measured before and after the others, so that a machine that gets slower or faster meanwhile shows.
    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let backlogs = self.backlogs();
        let (base, others) = backlogs.split_first().ok_or_else(|| Failure::usage("no backlogs"))?;
        let before = self.rate(setup, *base).await?;
        let mut rates = Vec::new();
        for backlog in others {
            rates.push((*backlog, self.rate(setup, *backlog).await?));
        }
        let after = self.rate(setup, *base).await?;
        let base_rate = (before + after) / 2.0;
        let mut figures = Figures::default();
        figures.set(format!("tasks_per_s_{}", size(*base)), base_rate);
        for (backlog, rate) in &rates {
            figures.set(format!("tasks_per_s_{}", size(*backlog)), *rate);
            figures.set(format!("ratio_{}", size(*backlog)), rate / base_rate);
        }
        let points = std::iter::once((*base, base_rate)).chain(rates);
        let points = points.map(|(backlog, rate)| (backlog as f64, rate)).collect();
        figures.curves.insert("tasks_per_s_by_backlog".to_owned(), points);
        Ok(figures)
    }
}

impl Backlog {
    /// The same, with a smaller largest backlog or not.
    pub(crate) fn quick(self, quick: bool) -> Self {
        Self { quick, ..self }
    }

    fn backlogs(&self) -> Vec<usize> {
        match (self.backlogs.is_empty(), self.quick) {
            (false, _) => self.backlogs.clone(),
            (true, true) => vec![10_000, 1_000_000, 2_000_000],
            (true, false) => vec![10_000, 100_000, 1_000_000, 10_000_000],
        }
    }

    async fn rate(&self, setup: &Setup, backlog: usize) -> Result<f64, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let warm_up = WARM_UP.min(self.tasks);
        load(&mut bench, warm_up + self.tasks + backlog, self.payload_bytes).await?;
        bench.settle().await?;
        let progress = Progress::start(&bench, 1, 5)?;
        let (first, started) = progress.until_finished(warm_up).await?;
        let (last, ended) = progress.until_finished(warm_up + self.tasks).await?;
        Ok((last - first) / ended.duration_since(started).as_secs_f64())
    }
}

/// `10k`, `2m`.
fn size(tasks: usize) -> String {
    match tasks {
        tasks if tasks >= 1_000_000 => format!("{}m", tasks / 1_000_000),
        tasks => format!("{}k", tasks / 1_000),
    }
}
