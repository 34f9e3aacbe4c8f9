//! What the tests share. Tests wait for conditions; the only limits on time are generous.

pub(crate) mod backend;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod queue;
pub(crate) mod worker;

use std::time::Duration;

use tokio::time::{self, Instant};

/// Long enough for anything on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(90);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `condition` gives a value, [`LONG`] at most.
pub(crate) async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    within(LONG, what, condition).await
}

/// Waits until `condition` gives a value.
pub(crate) async fn within<T>(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        time::sleep(LOOK).await;
    }
}
