//! Worker processes of a scenario, and how far they are.

use std::time::Duration;

use service::exit::Failure;
use tokio::time::{self, Instant};

use crate::server::{Bench, Process};

/// Time between two looks.
const PACE: Duration = Duration::from_millis(5);
/// Longest time without any progress.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Progress {
    workers: Vec<(Process, String)>,
    client: reqwest::Client,
}

impl Progress {
    /// Starts workers.
    pub(crate) fn start(bench: &Bench, workers: usize, concurrency: u32) -> Result<Self, Failure> {
        let workers = (0..workers).map(|_| bench.spawn_worker(concurrency)).collect::<Result<_, _>>()?;
        Ok(Self { workers, client: reqwest::Client::new() })
    }

    /// Process ids.
    pub(crate) fn workers(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().map(|(process, _)| process.id())
    }

    /// Waits until nothing is ready or claimed; the time since the first claim. Counting outcomes would slow the run down; that nothing
    /// is open is cheap to see.
    pub(crate) async fn until_drained(&mut self, bench: &mut Bench) -> Result<Duration, Failure> {
        const OPEN: &str = "SELECT (SELECT count(*) FROM taskrow.ready) + (SELECT count(*) FROM taskrow.leases)";
        const LEASES: &str = "SELECT count(*) FROM taskrow.leases";
        let (mut started, mut open, mut changed) = (None, i64::MAX, Instant::now());
        loop {
            if started.is_none() && bench.number(LEASES).await? > 0 {
                started = Some(Instant::now());
            }
            let now_open = bench.number(OPEN).await?;
            if now_open == 0 {
                break;
            }
            if now_open != open {
                (open, changed) = (now_open, Instant::now());
            }
            check_patience(changed)?;
            time::sleep(PACE).await;
        }
        started.map(|started| started.elapsed()).ok_or_else(|| Failure::software("nobody saw a claim: too few tasks"))
    }

    /// How many tasks the workers have finished, by their own count. Costs the database nothing.
    pub(crate) async fn finished(&self) -> f64 {
        let mut sum = 0.0;
        for (_, address) in &self.workers {
            sum += self.finished_at(address).await.unwrap_or_default();
        }
        sum
    }

    async fn finished_at(&self, address: &str) -> Option<f64> {
        let text = self.client.get(format!("http://{address}/metrics")).send().await.ok()?.text().await.ok()?;
        let of_tasks = |line: &&str| line.starts_with("taskrow_worker_finished_tasks_total{");
        Some(text.lines().filter(of_tasks).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Waits until so many are finished; returns how many were, and when that was seen.
    pub(crate) async fn until_finished(&self, tasks: usize) -> Result<(f64, Instant), Failure> {
        self.watch(tasks, |_, _| ()).await
    }

    /// As [`until_finished`](Self::until_finished), telling each look.
    pub(crate) async fn watch(
        &self,
        tasks: usize,
        mut look: impl FnMut(f64, Instant),
    ) -> Result<(f64, Instant), Failure> {
        let (mut last, mut changed) = (0.0, Instant::now());
        loop {
            let finished = self.finished().await;
            let now = Instant::now();
            if finished > last {
                (last, changed) = (finished, now);
                look(finished, now);
            }
            if finished >= tasks as f64 {
                return Ok((finished, now));
            }
            check_patience(changed)?;
            time::sleep(PACE).await;
        }
    }
}

fn check_patience(changed: Instant) -> Result<(), Failure> {
    if changed.elapsed() > PATIENCE {
        return Err(Failure::software(format!("no progress within {PATIENCE:?}")));
    }
    Ok(())
}
