//! Waiting for a condition.

use std::{fmt::Display, time::Duration};

use tokio::time::{self, Instant};

/// Long enough for the slowest machine; nothing waits that long when all is well.
const DEADLINE: Duration = Duration::from_secs(60);

/// Something found, or the reason why not yet.
pub(crate) trait Found {
    type Value;
    fn found(self) -> Result<Self::Value, String>;
}

impl<T> Found for Option<T> {
    type Value = T;
    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing found".to_owned())
    }
}

impl<T, E: Display> Found for Result<T, E> {
    type Value = T;
    fn found(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<F: Found>(mut ask: impl AsyncFnMut() -> F) -> F::Value {
    let started = Instant::now();
    loop {
        match ask().await.found() {
            Ok(value) => return value,
            Err(reason) if started.elapsed() > DEADLINE => panic!("not within {DEADLINE:?}: {reason}"),
            Err(_) => time::sleep(Duration::from_millis(20)).await,
        }
    }
}
