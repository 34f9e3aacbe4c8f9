//! The queues that take no more, as this process knows them from its last look at what waits.
//!
//! While no queue has limits a submit looks at one flag, and Postgres is asked for limits now and then, nothing else. Otherwise what waits is
//! counted every two seconds: between two looks whatever comes is let in. While Postgres is away the last look holds.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use queue::{
    admission::{self, Gate, Limits, Waiting},
    task::Name,
};
use service::{
    backoff::jittered,
    database::{Database, Session},
};
use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::problem::{Kind, Problem};

/// Between two looks while some queue has limits.
const PACE: Duration = Duration::from_secs(2);
/// Between two looks while none has.
const CALM_PACE: Duration = Duration::from_secs(5);

const SESSION: Session = Session { statement_timeout: Duration::from_secs(3), ..Session::POOL.named("admission") };

/// See the module. Clones share what is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether any queue has limits: all that a submit looks at where none has.
    any: AtomicBool,
    gate: RwLock<Arc<Gate>>,
    /// Limits have changed.
    changed: Notify,
}

/// A queue that takes no more.
#[derive(Debug)]
pub(crate) struct Full {
    queue: Name,
    limits: Limits,
    waiting: Waiting,
}

impl Admission {
    /// Whether these queues take more tasks; the first that does not is told.
    pub(crate) fn check<'a>(&self, queues: impl IntoIterator<Item = &'a Name>) -> Result<(), Full> {
        // A submit that meets the old value came before the change.
        if !self.shared.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let gate = Arc::clone(&self.shared.gate.read().unwrap_or_else(PoisonError::into_inner));
        let full = queues.into_iter().find_map(|queue| {
            let (limits, waiting) = gate.refuses(queue)?;
            Some(Full { queue: queue.clone(), limits, waiting })
        });
        full.map_or(Ok(()), Err)
    }

    /// Asks for a look at once.
    pub(crate) fn changed(&self) {
        self.shared.changed.notify_one();
    }

    /// Looks at what waits, until `stop`.
    pub(crate) async fn watch(self, database: Database, stop: CancellationToken) {
        let mut link = database.link(SESSION);
        loop {
            let look = async {
                match link.run(async |connection| admission::look(connection).await).await {
                    Ok(gate) => self.set(gate),
                    Err(error) => debug!(%error, "cannot look at what waits; the last look holds"),
                }
            };
            tokio::select! {
                () = look => {}
                () = stop.cancelled() => return,
            }
            let pace = if self.shared.any.load(Ordering::Relaxed) { PACE } else { CALM_PACE };
            tokio::select! {
                () = time::sleep(jittered(pace)) => {}
                () = self.shared.changed.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn set(&self, gate: Gate) {
        self.shared.any.store(!gate.is_empty(), Ordering::Relaxed);
        *self.shared.gate.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(gate);
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        let Full { queue, limits, waiting } = full;
        let oldest_s = waiting.oldest.map(|oldest| oldest.as_secs_f64());
        let limit = match (limits.depth, limits.age) {
            (Some(depth), _) if waiting.tasks >= depth => format!("{} tasks wait, of {depth} that may", waiting.tasks),
            (_, age) => format!(
                "its oldest task has waited {} s, of {} s that it may",
                waiting.oldest.unwrap_or_default().as_secs(),
                age.unwrap_or_default().as_secs()
            ),
        };
        Self::new(Kind::QueueFull, format!("queue {queue} is full: {limit}"))
            .with("queue", queue.as_str())
            .with("queued", waiting.tasks)
            .with("oldest_wait_seconds", oldest_s)
    }
}
