//! Waits between attempts to reach a dependency that is away: exponential, capped, jittered.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// First wait, before jitter.
const FIRST: Duration = Duration::from_millis(50);
/// Longest wait, before jitter: how late a process may notice that its dependency is back.
const LONGEST: Duration = Duration::from_secs(2);

/// An endless sequence of waits; [`Backoff::reset`] after a success.
#[derive(Debug)]
pub struct Backoff {
    waits: ExponentialBackoff,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { waits: waits() }
    }
}

impl Backoff {
    /// The next wait: 50 ms doubling to 2 s, each with up to 100 % jitter on top (as `backon` adds it).
    pub fn next_wait(&mut self) -> Duration {
        self.waits.next().unwrap_or(LONGEST)
    }

    /// Sleeps for the next wait.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// Starts over with the shortest wait.
    pub fn reset(&mut self) {
        self.waits = waits();
    }
}

/// `interval` moved by up to a tenth either way, so that processes started together do not tick together.
pub fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}
