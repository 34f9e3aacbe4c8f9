//! Group reads: requests for a task do not get a statement each.
//!
//! A request puts its id into a bounded queue and waits. A few readers, each with a connection of its own, take everything that is there
//! and ask for it by one statement; what arrives while it runs goes into the next one. There is no timer: an idle reader asks at once.
//!
//! A client that hangs up drops the waiting future and nothing else. Tasks go from the connection to those who wait for them one by one:
//! a reader holds one task at a time, however many and however large a group's are.
//!
//! - `group`: ids, and who waits for each; pure
//! - `reader`: the loop, and what it does when Postgres is away

mod group;
mod reader;

use std::{sync::Arc, time::Duration};

use queue::{TaskId, inspect::Task};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time,
};

pub(crate) use self::reader::Reader;
use crate::store::Unavailable;

/// Most reads that wait for a reader: as many as connections by default, some 100 bytes each.
const WAITING_LIMIT: usize = 10_000;
/// Most ids of one statement. It takes Postgres some 3 ms; larger groups save nothing more and make others wait.
const GROUP_LIMIT: usize = 256;

/// Somebody waits for a task. Dropped: cannot be read.
#[derive(Debug)]
struct Request {
    id: TaskId,
    reply: oneshot::Sender<Option<Task>>,
}

/// Asks the readers. Clones share one queue.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    requests: mpsc::Sender<Request>,
    /// The readers' end: whoever is free takes what there is.
    waiting: Arc<Mutex<mpsc::Receiver<Request>>>,
    patience: Duration,
}

impl Reads {
    /// A queue that no reader empties yet. A request waits for its answer at most `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_LIMIT);
        Self { requests, waiting: Arc::new(Mutex::new(waiting)), patience }
    }

    /// Reads one task. Too many wait: answers at once.
    pub(crate) async fn get(&self, id: TaskId) -> Result<Option<Task>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(Request { id, reply }).map_err(|_| Unavailable::Away)?;
        match time::timeout(self.patience, answer).await {
            Ok(Ok(task)) => Ok(task),
            Ok(Err(_)) | Err(_) => Err(Unavailable::Away),
        }
    }

    /// How many requests no reader has taken yet.
    pub(crate) fn waiting(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let reads = Reads::new(Duration::from_secs(60));
        let id = queue::BatchId::new().task(0);
        let mut waiting: Vec<_> = (0..WAITING_LIMIT).map(|_| Box::pin(reads.get(id))).collect();
        assert!(waiting.iter_mut().all(|read| read.now_or_never().is_none()));
        assert_eq!(reads.waiting(), WAITING_LIMIT);
        assert_eq!(reads.get(id).await.unwrap_err(), Unavailable::Away);
    }
}
