//! Waiting for a condition that nothing announces: a file's content, the end of a process.

use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(10);

/// Asks until `question` has an answer. `None` once `deadline` has passed without one; it is asked at least once.
pub fn until<T, E>(deadline: Instant, mut question: impl FnMut() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
    loop {
        if let Some(answer) = question()? {
            return Ok(Some(answer));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(INTERVAL);
    }
}
