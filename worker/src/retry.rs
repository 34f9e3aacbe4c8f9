//! How long a failed task waits before its next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter: before attempt n+1 a random wait between zero and `base * 2^(n-1)`, at most `cap`.
///
/// Full jitter spreads tasks that failed together best; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// Longest wait after the first failed attempt.
    pub base: Duration,
    /// Longest wait after any.
    pub cap: Duration,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), cap: Duration::from_secs(3600) }
    }
}

impl RetrySchedule {
    /// The longest wait after the attempt with this number (from 1).
    pub fn ceiling(&self, attempt: i16) -> Duration {
        let doublings = u32::from(attempt.max(1).unsigned_abs() - 1);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// A random wait after the attempt with this number.
    pub fn delay(&self, attempt: i16) -> Duration {
        self.ceiling(attempt).mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let schedule = RetrySchedule::default();
        let seconds: Vec<_> = [1, 2, 3, 10, 11, 1000].map(|attempt| schedule.ceiling(attempt).as_secs()).to_vec();
        assert_eq!(seconds, [5, 10, 20, 2560, 3600, 3600]);
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_ceiling(base in 0_u64..100_000, cap in 0_u64..10_000_000, attempt in i16::MIN..i16::MAX) {
            let schedule = RetrySchedule { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            prop_assert!(schedule.delay(attempt) <= schedule.ceiling(attempt));
            prop_assert!(schedule.ceiling(attempt) <= schedule.cap);
            prop_assert!(schedule.ceiling(attempt) <= schedule.ceiling(attempt.saturating_add(1)));
        }
    }
}
