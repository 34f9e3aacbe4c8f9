//! Group commit: requests do not get a transaction each.
//!
//! A request puts its tasks into a bounded buffer and waits. A few flushers, each with a connection of its own, take everything that
//! is there and store it as one submission; what arrives while a commit runs goes into the next one. There is no timer: an idle
//! flusher starts at once. Each request is answered after the commit that holds its tasks.
//!
//! A client that hangs up drops the waiting future and nothing else: what is in the buffer gets stored.
//!
//! - `buffer`: what waits, and its bounds; pure
//! - `group`: requests as one submission, their answers, and halving; pure
//! - `flusher`: the loop, and what it does when Postgres is away

mod buffer;
mod flusher;
mod group;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{NewTask, Status, TaskId};
use tokio::{
    sync::{Notify, oneshot},
    time::{self, Instant},
};

pub(crate) use self::group::TASK_OVERHEAD;
pub use self::{buffer::Fill, flusher::Flusher};
use self::{
    buffer::{Bounds, Buffer, Refused},
    group::Request,
};
use crate::config::SubmitArgs;

/// Most of one submission, unless a single request is larger.
const GROUP: Bounds = Bounds { tasks: 4096, bytes: 8 << 20 };

/// A task that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: TaskId,
    /// Queued, or scheduled. (It may be further by the time anyone looks.)
    pub status: Status,
}

/// Why tasks were not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The buffer is full. Not stored.
    #[error("the submit buffer is full")]
    Full,
    /// The process is stopping. Not stored.
    #[error("stopping")]
    Stopping,
    /// Postgres was away, or refused, until the deadline. Not stored.
    #[error("not stored")]
    NotStored,
    /// Postgres did not answer: it may be stored or not, or be stored later.
    #[error("not known to be stored")]
    Unknown,
}

/// Hands tasks to the flushers. Clones share one buffer.
#[derive(Clone, Debug)]
pub struct Submitter {
    shared: Arc<Shared>,
    patience: Duration,
}

/// Between requests and flushers.
#[derive(Debug)]
struct Shared {
    buffer: Mutex<Buffer<Request>>,
    /// One permit: something arrived, or is left.
    arrived: Notify,
    /// Everyone: the buffer closed.
    closed: Notify,
}

impl Submitter {
    /// A buffer that no flusher empties yet. A request waits for its answer at most `patience`.
    pub fn new(args: &SubmitArgs, patience: Duration) -> Self {
        let bounds = Bounds { tasks: args.submit_buffer_tasks, bytes: args.submit_buffer_bytes.bytes() };
        let shared = Shared { buffer: Mutex::new(Buffer::new(bounds)), arrived: Notify::new(), closed: Notify::new() };
        Self { shared: Arc::new(shared), patience }
    }

    /// Stores tasks, all or none; answers in their order, after the commit. Full: answers at once.
    pub async fn submit(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { tasks, reply, expires: Instant::now() + self.patience };
        self.shared.buffer().push(request).map_err(|refused| match refused {
            Refused::Full => SubmitError::Full,
            Refused::Closed => SubmitError::Stopping,
        })?;
        // The flusher that began to wait last: its connection's caches, here and in Postgres, are the warmest.
        self.shared.arrived.notify_last();
        match time::timeout(self.patience, answer).await {
            Ok(Ok(answer)) => answer,
            // A flusher that ended without an answer, or one that is still trying.
            Ok(Err(_)) | Err(_) => Err(SubmitError::Unknown),
        }
    }

    /// Refuses what comes from now on. Flushers store what is there and end.
    pub fn close(&self) {
        self.shared.buffer().close();
        self.shared.closed.notify_waiters();
    }

    /// How full the buffer is.
    pub fn fill(&self) -> Fill {
        self.shared.buffer().fill()
    }
}

impl Shared {
    /// Waits for requests and takes a group of them; none once the buffer is closed and empty.
    async fn next_group(&self) -> Option<Vec<Request>> {
        loop {
            // Armed before the look at the buffer: what comes in between is noticed.
            let mut closed = std::pin::pin!(self.closed.notified());
            closed.as_mut().enable();
            if self.buffer().is_empty() {
                if self.buffer().is_closed() {
                    return None;
                }
                tokio::select! {
                    () = self.arrived.notified() => {}
                    () = closed => {}
                }
                // Handlers that are ready to run get to put their tasks in, so that they share this commit.
                tokio::task::yield_now().await;
            }
            let mut buffer = self.buffer();
            let group = buffer.take(GROUP);
            if !buffer.is_empty() {
                self.arrived.notify_one();
            }
            if !group.is_empty() {
                return Some(group);
            }
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer<Request>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
