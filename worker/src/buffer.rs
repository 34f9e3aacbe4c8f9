//! Tasks that are claimed and wait for a slot.

use std::{
    collections::VecDeque,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::claim::Claimed;
use service::tasks::Tasks;
use tokio::{sync::Notify, time::Instant};

/// First in, first out. The claimer never puts in more than [`crate::prefetch`] allows, so it is bounded.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    state: Mutex<State>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Claimed>,
    running: usize,
    /// Slots that have looked in vain and not looked again.
    idle: usize,
    is_closed: bool,
    /// When the buffer last began to hold tasks, or gave one to a slot.
    moved_at: Option<Instant>,
}

/// What a slot finds.
enum Look {
    Task {
        task: Claimed,
        /// There are more, and slots that may have to be told.
        is_next_idle: bool,
    },
    Closed,
    Nothing,
}

impl Buffer {
    /// Adds tasks. After [`Buffer::close`] they come straight back.
    pub(crate) fn put(&self, tasks: Vec<Claimed>) -> Vec<Claimed> {
        let mut state = self.lock();
        if state.is_closed {
            return tasks;
        }
        let added = tasks.len();
        if state.waiting.is_empty() {
            state.moved_at = Some(Instant::now());
        }
        state.waiting.extend(tasks);
        drop(state);
        for _ in 0..added {
            self.filled.notify_one();
        }
        Vec::new()
    }

    /// Waits for a task to run; none: closed. The caller says [`Buffer::ended`] when it has run.
    pub(crate) async fn take(&self) -> Option<Claimed> {
        loop {
            let filled = self.filled.notified();
            match self.look() {
                Look::Task { task, is_next_idle } => {
                    self.drained.notify_one();
                    if is_next_idle {
                        // Of notifications to slots that are between looking and waiting, only one is kept.
                        self.filled.notify_one();
                        // Tokio keeps whom a thread woke last for this thread alone, and what was taken may block it. Behind this it is free.
                        Tasks::new().spawn_detached(ready(()));
                    }
                    return Some(task);
                }
                Look::Closed => {
                    // Wake the next slot: one notification may have to reach all of them.
                    self.filled.notify_one();
                    return None;
                }
                Look::Nothing => filled.await,
            }
            self.lock().idle -= 1;
        }
    }

    /// Takes a task if there is one. Whoever finds nothing counts as idle.
    fn look(&self) -> Look {
        let mut state = self.lock();
        if let Some(task) = state.waiting.pop_front() {
            state.running += 1;
            state.moved_at = Some(Instant::now());
            let is_next_idle = !state.waiting.is_empty() && state.idle > 0;
            return Look::Task { task, is_next_idle };
        }
        if state.is_closed {
            return Look::Closed;
        }
        state.idle += 1;
        Look::Nothing
    }

    /// A task taken has ended.
    pub(crate) fn ended(&self) {
        self.lock().running -= 1;
        self.drained.notify_one();
    }

    /// How many wait and how many run.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.running)
    }

    /// Resolves when a task has left since the last call.
    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Takes out the waiting tasks that match, to be given back.
    pub(crate) fn remove(&self, matches: impl Fn(&Claimed) -> bool) -> Vec<Claimed> {
        let mut state = self.lock();
        let (removed, kept) = std::mem::take(&mut state.waiting).into_iter().partition(matches);
        state.waiting = kept;
        drop(state);
        self.drained.notify_one();
        removed.into()
    }

    /// Takes out all waiting tasks if no slot took one for so long.
    pub(crate) fn stalled(&self, patience: Duration) -> Vec<Claimed> {
        let mut state = self.lock();
        if state.moved_at.is_some_and(|moved_at| moved_at.elapsed() < patience) {
            return Vec::new();
        }
        std::mem::take(&mut state.waiting).into()
    }

    /// Ends it: the waiting tasks are returned, to be given back, and slots find it closed.
    pub(crate) fn close(&self) -> Vec<Claimed> {
        let mut state = self.lock();
        state.is_closed = true;
        let left = std::mem::take(&mut state.waiting).into();
        drop(state);
        self.filled.notify_one();
        left
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use queue::{
        Json, TaskId,
        claim::LeaseId,
        task::{Lane, Name},
    };
    use tokio::sync::Barrier;

    use super::*;

    fn task() -> Claimed {
        let name = Name::new("x").expect("a name");
        Claimed {
            lease: LeaseId(1),
            id: TaskId::from_uuid(uuid::Uuid::nil()),
            lane: Lane { queue: name.clone(), kind: name },
            attempt: 1,
            max_attempts: 1,
            timeout: Duration::from_secs(1),
            waited: Duration::ZERO,
            payload: Json::parse(b"1").expect("JSON"),
        }
    }

    /// Each round ends only when every slot has got a task, so a slot that sleeps beside a waiting task would hang it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_slot_sleeps_while_a_task_waits() {
        const SLOTS: usize = 8;
        let (buffer, all_run, slots) = (Arc::new(Buffer::default()), Arc::new(Barrier::new(SLOTS + 1)), Tasks::new());
        for _ in 0..SLOTS {
            let (buffer, all_run) = (buffer.clone(), all_run.clone());
            slots.spawn(async move {
                while buffer.take().await.is_some() {
                    all_run.wait().await;
                    buffer.ended();
                }
            });
        }
        for _ in 0..5_000 {
            assert!(buffer.put((0..SLOTS).map(|_| task()).collect()).is_empty());
            let round = tokio::time::timeout(Duration::from_secs(30), all_run.wait());
            round.await.expect("every slot runs a task");
        }
        assert!(buffer.close().is_empty());
        assert!(slots.finish(Duration::from_secs(30)).await, "every slot finds it closed");
        assert_eq!(buffer.put(vec![task()]).len(), 1, "what comes after the end comes back");
    }
}
