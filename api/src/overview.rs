//! The queues as they stood a moment ago. However many ask, Postgres is asked once in a while, by one at a time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use queue::overview::{Overview, overview};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use crate::store::{Store, Unavailable};

/// How long a failure is told on, instead of asking again.
const FAILURE_AGE: Duration = Duration::from_secs(1);

/// See the module. Clones share what is known.
#[derive(Clone, Debug)]
pub(crate) struct OverviewCache {
    store: Store,
    /// One asks at a time; the rest wait and take what it got.
    last: Arc<AsyncMutex<Option<Answer>>>,
    /// The last success, for those who cannot wait.
    seen: Arc<Mutex<Option<Seen>>>,
}

/// An answer of Postgres, or its absence, and when it was asked.
type Answer = (Instant, Result<Arc<Overview>, Unavailable>);
type Seen = (Instant, Arc<Overview>);

impl OverviewCache {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, last: Arc::default(), seen: Arc::default() }
    }

    /// The queues as they were at most `max_age` before this call.
    pub(crate) async fn get(&self, max_age: Duration) -> Result<Arc<Overview>, Unavailable> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((at, outcome)) = &*last {
            let max_age = if outcome.is_ok() { max_age } else { FAILURE_AGE };
            // Measured from the call: who waited while another asked takes that answer.
            if asked.saturating_duration_since(*at) <= max_age {
                return outcome.clone();
            }
        }
        let began = Instant::now();
        let outcome = self.store.read(|connection| Box::pin(overview(connection))).await.map(Arc::new);
        // Aged from before the question, so that it is never taken for newer than it is.
        let at = if outcome.is_ok() { began } else { Instant::now() };
        if let Ok(overview) = &outcome {
            *self.seen() = Some((at, Arc::clone(overview)));
        }
        *last = Some((at, outcome.clone()));
        outcome
    }

    /// What is known, and how old it is; asks nobody.
    pub(crate) fn last_seen(&self) -> Option<(Duration, Arc<Overview>)> {
        self.seen().as_ref().map(|(at, overview)| (at.elapsed(), Arc::clone(overview)))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
