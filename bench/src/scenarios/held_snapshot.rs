//! Throughput while a session holds an old snapshot, so that nothing dead can be removed.

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;

use crate::{
    figures::{Figures, Target, at_least},
    load::load,
    scenario::Scenario,
    server::{Bench, Setup, Snapshot},
    watch::Progress,
};

/// The end of a drain under a snapshot that was taken before the tasks came, against the end of a clean drain.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct HeldSnapshot {
    /// Tasks that go through.
    #[arg(long, default_value_t = 300_000)]
    tasks: usize,
    /// Those of them at the end over which rates are compared.
    #[arg(long, default_value_t = 50_000)]
    last: usize,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

impl Scenario for HeldSnapshot {
    const NAME: &'static str = "held_snapshot";
    const TARGETS: &'static [Target] = &[at_least("ratio", 0.9)];

    fn smoke() -> Self {
        Self { tasks: 20_000, last: 5_000, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let (clean, clean_curve) = self.rate(setup, false).await?;
        let (held, held_curve) = self.rate(setup, true).await?;
        let mut figures = Figures::default();
        figures.set("tasks_per_s", held);
        figures.set("tasks_per_s_clean", clean);
        figures.set("ratio", held / clean);
        figures.curves.insert("tasks_per_s_by_second_held".to_owned(), held_curve);
        figures.curves.insert("tasks_per_s_by_second_clean".to_owned(), clean_curve);
        Ok(figures)
    }
}

impl HeldSnapshot {
    async fn rate(&self, setup: &Setup, is_held: bool) -> Result<(f64, Vec<(f64, f64)>), Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let _snapshot = if is_held { Some(Snapshot::hold(&bench.url).await?) } else { None };
        load(&mut bench, self.tasks, self.payload_bytes).await?;
        bench.settle().await?;
        let progress = Progress::start(&bench, 1, 5)?;
        let mut looks = Vec::new();
        progress.watch(self.tasks - self.last, |finished, at| looks.push((finished, at))).await?;
        let (first, started) = *looks.last().ok_or_else(|| Failure::software("nothing was finished"))?;
        progress.watch(self.tasks, |finished, at| looks.push((finished, at))).await?;
        let (last, ended) = *looks.last().unwrap_or(&(first, started));
        Ok(((last - first) / ended.duration_since(started).as_secs_f64(), curve(&looks)))
    }
}

/// Rates over tenths of a second, by the seconds since the first look.
fn curve(looks: &[(f64, tokio::time::Instant)]) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let Some(&(mut finished, mut since)) = looks.first() else { return points };
    let start = since;
    for &(now_finished, at) in looks {
        let span = at.duration_since(since).as_secs_f64();
        if span >= 0.1 {
            points.push((at.duration_since(start).as_secs_f64(), (now_finished - finished) / span));
            (finished, since) = (now_finished, at);
        }
    }
    points
}
