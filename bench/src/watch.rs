//! Worker processes of a scenario, and how far they are.

use std::time::Duration;

use service::exit::Failure;
use tokio::time::{self, Instant};

use crate::server::{Bench, Process};

/// Time between two looks.
const PACE: Duration = Duration::from_millis(5);
const CLAIMED: &str = "taskrow_worker_claimed_tasks_total";
const FINISHED: &str = "taskrow_worker_finished_tasks_total";
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

    /// Waits until so many are finished; the time since the first claim.
    pub(crate) async fn until_drained(&self, tasks: usize) -> Result<Duration, Failure> {
        let asked = Instant::now();
        while self.counted(CLAIMED).await == 0.0 {
            check_patience(asked)?;
            time::sleep(PACE).await;
        }
        let started = Instant::now();
        let (_, ended) = self.until_finished(tasks).await?;
        Ok(ended.duration_since(started))
    }

    /// The sum of a counter over the workers, by their own count. Costs the database nothing: under a held snapshot even counting what is
    /// open would walk over everything dead.
    async fn counted(&self, counter: &str) -> f64 {
        let mut sum = 0.0;
        for (_, address) in &self.workers {
            sum += self.counted_at(address, counter).await.unwrap_or_default();
        }
        sum
    }

    async fn counted_at(&self, address: &str, counter: &str) -> Option<f64> {
        let text = self.client.get(format!("http://{address}/metrics")).send().await.ok()?.text().await.ok()?;
        let of_tasks = |line: &&str| line.strip_prefix(counter).is_some_and(|rest| rest.starts_with('{'));
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
            let finished = self.counted(FINISHED).await;
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
