//! The threads that handlers run on, apart from everything else of a worker: a handler that blocks its thread stops other handlers at most, never
//! the heartbeat, the claiming and giving back, the writing of outcomes, the probes, or a stop.
//!
//! A blocked thread cannot be ended from outside. While one is free the others' tasks go on; the one that blocks keeps its thread and its slot,
//! beyond its time limit too. When none is free for as long as a lease lasts, nothing here will end any more: this life ends, as if others had found it dead, and
//! the next one gets new threads ([`crate::incarnation`], [`crate::worker`]).

use std::{
    io,
    num::NonZero,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    time,
};

/// With one alone, one handler that blocks would stop all.
const FEWEST: usize = 2;
/// See [`Threads::is_one_free`].
const PARTS: u32 = 10;
/// Between two looks at whether one is free.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// One set of them. Dropping it does not wait for those that are blocked.
#[derive(Debug)]
pub(crate) struct Threads {
    /// Taken by drop.
    runtime: Option<Runtime>,
    handle: Handle,
    are_blocked: AtomicBool,
}

impl Threads {
    /// As many as there are processors.
    pub(crate) fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(FEWEST, NonZero::get);
        let threads = processors.max(FEWEST);
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).thread_name("handlers").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle, are_blocked: AtomicBool::new(false) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Resolves when no thread was free for so long. Until then it wakes one now and then: the thread that is blocked may be the one that told
    /// the others of timers and sockets.
    pub(crate) async fn blocked(&self, patience: Duration) {
        while self.is_one_free(patience).await {
            time::sleep(PROBE_INTERVAL).await;
        }
        self.are_blocked.store(true, Ordering::Relaxed);
    }

    /// The patience is had in parts, for a process that was frozen meanwhile finds one of them used up, and not all.
    async fn is_one_free(&self, patience: Duration) -> bool {
        let mut probe = self.handle.spawn(async {});
        for _ in 0..PARTS {
            if time::timeout(patience / PARTS, &mut probe).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Whether that has happened.
    pub(crate) fn are_blocked(&self) -> bool {
        self.are_blocked.load(Ordering::Relaxed)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
