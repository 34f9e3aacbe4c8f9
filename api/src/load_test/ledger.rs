//! What is known so far. Every acknowledged task is in it once: open, ended, or missing.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use queue::Status;
use uuid::Uuid;

use super::client::Task;

/// Shared by those who submit, read and log.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    book: Mutex<Book>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) totals: Totals,
    acknowledged: HashSet<Uuid>,
    /// Acknowledged, and not final when last looked at.
    pub(super) open: BTreeSet<Uuid>,
    pub(super) missing: Vec<Uuid>,
    /// From the first request of a task to its 201, in milliseconds; retries and their waits included.
    pub(super) submit_ms: Vec<f32>,
    /// From stored to ended, in milliseconds, by the database's clock.
    pub(super) final_ms: Vec<f32>,
    /// From the first request to the last 201.
    pub(super) submitting: Option<(Instant, Instant)>,
    /// From the first task stored to the last one ended, by the database's clock.
    pub(super) running: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// Counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Submitting requests whose answer is not there yet.
    pub(super) in_flight: u64,
    pub(super) requests: u64,
    /// Those of them that did not lead to a 201 and were, or will be, sent again.
    pub(super) retries: u64,
    /// Those of them that may have stored a task nobody knows.
    pub(super) unknown: u64,
    pub(super) acknowledged: u64,
    /// Ids that were given out for two requests.
    pub(super) doubled: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    /// Why a request was last not acknowledged.
    pub(super) last_refusal: Option<String>,
    /// Why the API gave no answer when it was last looked at.
    pub(super) away: Option<String>,
}

impl Totals {
    /// Tasks that have ended.
    pub(super) fn finals(&self) -> u64 {
        self.done + self.failed + self.cancelled
    }
}

impl Ledger {
    /// A submitting request is about to leave. What becomes of it is told by one of the next four; until then, it is in flight.
    pub(super) fn sending(&self) {
        let mut book = self.book();
        book.totals.in_flight += 1;
        book.totals.requests += 1;
        let now = Instant::now();
        book.submitting.get_or_insert((now, now));
    }

    pub(super) fn acknowledged(&self, id: Uuid, took: Duration) {
        let mut book = self.book();
        book.totals.in_flight -= 1;
        if !book.acknowledged.insert(id) {
            book.totals.doubled += 1;
            return;
        }
        book.totals.acknowledged += 1;
        book.open.insert(id);
        book.submit_ms.push(took.as_secs_f32() * 1000.0);
        if let Some((_, last)) = &mut book.submitting {
            *last = Instant::now();
        }
    }

    pub(super) fn not_stored(&self, reason: &str) {
        let mut book = self.book();
        book.totals.in_flight -= 1;
        book.totals.retries += 1;
        book.totals.last_refusal = Some(reason.to_owned());
    }

    pub(super) fn unknown(&self, reason: &str) {
        self.not_stored(reason);
        self.book().totals.unknown += 1;
    }

    pub(super) fn refused(&self, reason: &str) {
        let mut book = self.book();
        book.totals.in_flight -= 1;
        book.totals.last_refusal = Some(reason.to_owned());
    }

    /// Up to `limit` open tasks above an id, oldest first.
    pub(super) fn oldest_open(&self, above: Option<Uuid>, limit: usize) -> Vec<Uuid> {
        let start = above.map_or(Bound::Unbounded, Bound::Excluded);
        self.book().open.range((start, Bound::Unbounded)).take(limit).copied().collect()
    }

    /// A task was read. It counts when it is final, the first time; then the answer is true.
    pub(super) fn seen(&self, task: &Task) -> bool {
        let mut book = self.book();
        if !task.status.is_final() || !book.open.remove(&task.id) {
            return false;
        }
        match task.status {
            Status::Failed => book.totals.failed += 1,
            Status::Cancelled => book.totals.cancelled += 1,
            _ => book.totals.done += 1,
        }
        book.final_ms.push((task.updated_at - task.created_at).as_seconds_f32() * 1000.0);
        let (first, last) = book.running.unwrap_or((task.created_at, task.updated_at));
        book.running = Some((first.min(task.created_at), last.max(task.updated_at)));
        true
    }

    /// An acknowledged task does not exist. It counts the first time; then the answer is true.
    pub(super) fn missing(&self, id: Uuid) -> bool {
        let mut book = self.book();
        let was_open = book.open.remove(&id);
        if was_open {
            book.missing.push(id);
        }
        was_open
    }

    /// Whether so many tasks were acknowledged and none of them is open.
    pub(super) fn is_over(&self, tasks: u32) -> bool {
        let book = self.book();
        book.totals.acknowledged + book.totals.doubled >= u64::from(tasks) && book.open.is_empty()
    }

    /// Whether the API answers, and if not, why.
    pub(super) fn set_away(&self, reason: Option<String>) {
        self.book().totals.away = reason;
    }

    pub(super) fn totals(&self) -> Totals {
        self.book().totals.clone()
    }

    /// The end: what is in flight now has an unknown outcome.
    pub(super) fn close(self) -> Book {
        let mut book = self.book.into_inner().unwrap_or_else(PoisonError::into_inner);
        book.totals.unknown += std::mem::take(&mut book.totals.in_flight);
        book
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: u128, status: Status) -> Task {
        let created_at = DateTime::UNIX_EPOCH;
        Task { id: Uuid::from_u128(id), status, created_at, updated_at: created_at + Duration::from_millis(5) }
    }

    #[test]
    fn a_task_counts_once_and_an_open_request_is_unknown_at_the_end() {
        let ledger = Ledger::default();
        (0..6).for_each(|_| ledger.sending());
        for id in [1, 2, 3, 3] {
            ledger.acknowledged(Uuid::from_u128(id), Duration::from_millis(1));
        }
        ledger.unknown("lost");
        for status in [Status::Queued, Status::Done, Status::Done] {
            ledger.seen(&task(1, status));
        }
        ledger.seen(&task(99, Status::Done));
        ledger.missing(Uuid::from_u128(1));
        ledger.missing(Uuid::from_u128(2));
        assert_eq!(ledger.oldest_open(None, 9), [Uuid::from_u128(3)]);
        assert!(!ledger.is_over(4));
        ledger.seen(&task(3, Status::Cancelled));
        assert!(ledger.is_over(4) && !ledger.is_over(5));

        let book = ledger.close();
        let totals = &book.totals;
        assert_eq!((totals.requests, totals.acknowledged, totals.doubled), (6, 3, 1));
        assert_eq!((totals.done, totals.failed, totals.cancelled, book.missing.len()), (1, 0, 1, 1));
        assert_eq!((totals.retries, totals.unknown), (1, 2));
        assert_eq!((book.submit_ms.len(), book.final_ms.as_slice()), (3, &[5.0, 5.0][..]));
    }
}
