//! Waiting for tasks: clients that want to be answered when something has changed.
//!
//! Whoever waits has a place in one bounded table. One loop per process asks Postgres about all whose turn it is by one statement, at most
//! every few milliseconds, and tells those for whom there is news. How soon somebody has the next turn grows with the time waited
//! ([`pause`]), so short tasks are noticed at once and a thousand long ones cost little. While nobody waits nothing runs.
//!
//! There is no wakeup, so none can be lost: what is asked is how a task stands, not what has happened to it.
//!
//! - `preference`: how long a client wants to wait
//! - `table`: who waits, and whose turn it is; pure
//! - `looker`: the loop
//! - `outcome`: reads a task when it has ended

mod looker;
mod outcome;
mod preference;
mod table;

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{TaskId, watch::Question};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use self::table::Table;
pub(crate) use self::{
    looker::Looker,
    outcome::{Waited, final_in_time, read_when_final},
    preference::{PREFERENCE_APPLIED, Wait},
};

/// Shortest time between two statements, and shortest pause between two looks at a task.
const PACE: Duration = Duration::from_millis(4);
/// Longest pause between two looks at a task.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The table, and how it is closed. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    shared: Arc<Shared>,
}

/// Between those who wait and the loop.
#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// One permit: somebody's turn comes before all others'.
    earlier: Notify,
    closing: CancellationToken,
}

/// A place in the table. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    place: u64,
    news: Arc<Notify>,
}

/// What those who wait are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// What was waited for may have happened: look.
    Changed,
    /// The process stops: nobody waits any more.
    Closing,
}

impl Waits {
    /// A table of so many places, of which no loop takes care yet.
    pub(crate) fn new(places: usize) -> Self {
        let table = Mutex::new(Table::new(places));
        Self { shared: Arc::new(Shared { table, earlier: Notify::new(), closing: CancellationToken::new() }) }
    }

    /// Takes a place. Asked for the outcome, there is news when the task has ended; asked for the state, at once and then whenever it
    /// has changed. None: all places are taken, or the process stops.
    pub(crate) fn watch(&self, id: TaskId, question: Question) -> Option<Watch> {
        if self.shared.closing.is_cancelled() {
            return None;
        }
        let mut table = self.shared.table();
        let due_before = table.next_due();
        let (place, news) = table.insert(id, question, Instant::now())?;
        let is_earlier = table.next_due() != due_before;
        drop(table);
        if is_earlier {
            self.shared.earlier.notify_one();
        }
        Some(Watch { shared: Arc::clone(&self.shared), place, news })
    }

    /// Sends everybody away, now and from now on.
    pub(crate) fn close(&self) {
        self.shared.closing.cancel();
    }

    /// Waits until everybody is sent away.
    pub(crate) async fn closed(&self) {
        self.shared.closing.cancelled().await;
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.table().len()
    }

    /// How many may wait.
    pub(crate) fn places(&self) -> usize {
        self.shared.table().places()
    }

    /// How many were refused a place because all were taken.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.table().refused()
    }
}

impl Watch {
    /// Waits until there is news. Dropped before, it loses nothing.
    pub(crate) async fn news(&self) -> News {
        tokio::select! {
            biased;
            () = self.shared.closing.cancelled() => News::Closing,
            () = self.news.notified() => News::Changed,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.table().remove(self.place);
    }
}

impl Shared {
    /// Waits until it is somebody's turn.
    async fn until_due(&self) {
        loop {
            let due = self.table().next_due();
            let mut turn = pin!(async {
                match due {
                    Some(due) => time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            });
            tokio::select! {
                () = turn.as_mut() => return,
                () = self.earlier.notified() => {}
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long until the next look at a task of somebody who has waited so long (or since the last change): a tenth, so that what is noticed
/// late is late by a tenth of its time; within bounds.
fn pause(waited: Duration) -> Duration {
    (waited / 10).clamp(PACE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use queue::BatchId;

    use super::*;

    fn id() -> TaskId {
        BatchId::new().task(0)
    }

    #[test]
    fn the_longer_the_wait_the_longer_the_pauses() {
        for (waited_ms, pause_ms) in [(0, 4), (40, 4), (100, 10), (3000, 300), (10_000, 1000), (60_000, 1000)] {
            assert_eq!(pause(Duration::from_millis(waited_ms)), Duration::from_millis(pause_ms), "{waited_ms}");
        }
    }

    #[tokio::test]
    async fn a_place_that_is_given_up_is_free_again() {
        let waits = Waits::new(2);
        let (one, two) = (waits.watch(id(), Question::Outcome), waits.watch(id(), Question::State));
        assert!(one.is_some() && two.is_some());
        assert!(waits.watch(id(), Question::Outcome).is_none());
        assert_eq!((waits.waiting(), waits.refused()), (2, 1));
        drop(one);
        assert_eq!(waits.waiting(), 1);
        assert!(waits.watch(id(), Question::Outcome).is_some());
    }

    #[tokio::test]
    async fn closing_sends_everybody_away() {
        let waits = Waits::new(2);
        let watch = waits.watch(id(), Question::Outcome).unwrap();
        assert!(watch.news().now_or_never().is_none());
        waits.close();
        assert_eq!(watch.news().now_or_never(), Some(News::Closing));
        assert!(waits.watch(id(), Question::Outcome).is_none());
        assert_eq!(waits.refused(), 0, "not for lack of places");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_is_looked_at_soon_however_long_the_others_still_have() {
        let waits = Waits::new(2);
        let started = Instant::now();
        let _patient = waits.watch(id(), Question::Outcome).unwrap();
        time::sleep(Duration::from_secs(60)).await;
        assert_eq!(waits.shared.table().take_due(Instant::now(), 10).places(), 1);
        assert!(waits.shared.table().next_due().unwrap() > Instant::now() + PACE);
        let turn = waits.shared.until_due();
        let arrives = async {
            time::sleep(PACE).await;
            waits.watch(id(), Question::Outcome).unwrap()
        };
        let (_watch, ()) = tokio::join!(arrives, turn);
        assert!(started.elapsed() < Duration::from_secs(60) + 3 * PACE, "{:?}", started.elapsed());
    }
}
