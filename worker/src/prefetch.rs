//! How much to claim. Pure arithmetic over what was observed.
//!
//! Enough that slots never wait for the next claim; not so much that tasks sit here while other workers are idle.

use std::time::Duration;

/// Claimed tasks may wait so long for a slot. Covers a claim's round trip, even a slow one, many times over.
const WINDOW: Duration = Duration::from_millis(200);
/// Payloads held ahead, at most, judged by their average size.
const BYTES_LIMIT: f64 = 16.0 * 1024.0 * 1024.0;
/// Weight of the newest observation in a running mean.
const WEIGHT: f64 = 0.125;

/// Running means of what was observed.
#[derive(Debug, Clone)]
pub(crate) struct Prefetch {
    concurrency: usize,
    limit: usize,
    /// Seconds per task; none before the first one.
    task_time: Option<f64>,
    /// Bytes per payload.
    payload: f64,
    /// Tasks per batch.
    batch: f64,
}

impl Prefetch {
    pub(crate) fn new(concurrency: u32, limit: u32) -> Self {
        Self { concurrency: concurrency as usize, limit: limit as usize, task_time: None, payload: 0.0, batch: 1.0 }
    }

    /// A task ran this long.
    pub(crate) fn ran(&mut self, time: Duration) {
        let time = time.as_secs_f64();
        self.task_time = Some(self.task_time.map_or(time, |mean| mean + WEIGHT * (time - mean)));
    }

    /// All slots have been busy for so long: hold nothing ahead until tasks are seen to be short again.
    pub(crate) fn stalled(&mut self, time: Duration) {
        let long = time.as_secs_f64() * self.concurrency as f64;
        self.task_time = Some(self.task_time.unwrap_or_default().max(long));
    }

    /// A claim brought tasks: so many, of so many batches, with so many bytes of payload.
    pub(crate) fn claimed(&mut self, tasks: usize, batches: usize, bytes: usize) {
        if tasks > 0 {
            self.batch += WEIGHT * (tasks as f64 / batches.max(1) as f64 - self.batch);
            self.payload += WEIGHT * (bytes as f64 / tasks as f64 - self.payload);
        }
    }

    /// Tasks to hold ahead of the running ones.
    pub(crate) fn ahead(&self) -> usize {
        let Some(task_time) = self.task_time else { return 0 };
        let by_time = WINDOW.as_secs_f64() * self.concurrency as f64 / task_time.max(1e-9);
        let by_bytes = BYTES_LIMIT / self.payload.max(1.0);
        (by_time.min(by_bytes) as usize).min(self.limit)
    }

    /// Tasks to claim now; zero while the buffer is more than half full.
    pub(crate) fn want(&self, buffered: usize, running: usize) -> usize {
        let ahead = self.ahead();
        if buffered > ahead / 2 {
            return 0;
        }
        (self.concurrency + ahead).saturating_sub(buffered + running)
    }

    /// Batches that should hold so many tasks.
    pub(crate) fn batches(&self, tasks: usize) -> usize {
        (tasks as f64 / self.batch.max(1.0)).ceil() as usize
    }

    /// Batches to lock for so many tasks: as many as should hold them, and one more.
    pub(crate) fn rows(&self, tasks: usize) -> usize {
        (self.batches(tasks) + 1).min(tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(task_time: Duration) -> Prefetch {
        let mut prefetch = Prefetch::new(5, 1000);
        prefetch.ran(task_time);
        prefetch
    }

    #[test]
    fn nothing_is_held_ahead_before_the_first_task_or_when_tasks_are_long() {
        assert_eq!(Prefetch::new(5, 1000).want(0, 0), 5);
        assert_eq!(after(Duration::from_secs(60)).ahead(), 0);
        assert_eq!(after(Duration::from_secs(60)).want(0, 5), 0);
        assert_eq!(after(Duration::from_secs(60)).want(0, 3), 2);
    }

    #[test]
    fn short_tasks_are_held_ahead_up_to_the_limit() {
        assert_eq!(after(Duration::from_millis(10)).ahead(), 100);
        assert_eq!(after(Duration::ZERO).ahead(), 1000);
        assert_eq!(after(Duration::from_millis(10)).want(51, 5), 0, "more than half full");
        assert_eq!(after(Duration::from_millis(10)).want(50, 5), 50);
    }

    #[test]
    fn a_stall_ends_holding_ahead_until_tasks_are_short_again() {
        let mut prefetch = after(Duration::ZERO);
        prefetch.stalled(Duration::from_secs(1));
        assert_eq!(prefetch.ahead(), 0);
        for _ in 0..100 {
            prefetch.ran(Duration::ZERO);
        }
        assert_eq!(prefetch.ahead(), 1000);
    }

    #[test]
    fn large_payloads_are_held_ahead_by_bytes() {
        let mut prefetch = after(Duration::ZERO);
        for _ in 0..200 {
            prefetch.claimed(10, 10, 10 * 1024 * 1024);
        }
        assert!((15..=17).contains(&prefetch.ahead()), "{}", prefetch.ahead());
    }

    #[test]
    fn rows_follow_the_size_of_batches() {
        let mut prefetch = Prefetch::new(5, 1000);
        assert_eq!(prefetch.rows(100), 100, "batches of one until seen otherwise");
        for _ in 0..200 {
            prefetch.claimed(640, 10, 640);
        }
        assert_eq!(prefetch.rows(640), 12, "ten batches of 64, rounded up, and one more");
        assert_eq!(prefetch.rows(1), 1);
    }
}
