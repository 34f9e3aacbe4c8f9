//! A program and whatever it has started, as one thing to signal.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};
use tokio::{
    process::Child,
    time::{self, Instant},
};

/// What was killed is gone after this, unless the kernel itself is stuck with it.
const REAP_LIMIT: Duration = Duration::from_secs(1);
const REAP_LOOK: Duration = Duration::from_millis(5);

/// The process group that a child leads. Dropping it kills what is left of it.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// Of a child that was started with `process_group(0)`.
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Asks all of it to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends what the leader, which was awaited, has left behind. The id stays the group's while anybody is in it, and the kernel gives
    /// out all others before it gives out this one again.
    pub(super) async fn finish(mut self) {
        self.signal(Signal::KILL);
        if let Some(group) = self.0.take() {
            reap(group).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The only error there is: nobody is left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// In a container the worker is process 1 and inherits orphans. Nobody else would ever await them. Elsewhere there are none.
async fn reap(group: Pid) {
    let deadline = Instant::now() + REAP_LIMIT;
    while let Ok(ended) = waitpgid(group, WaitOptions::NOHANG) {
        if ended.is_none() {
            if Instant::now() > deadline {
                return;
            }
            time::sleep(REAP_LOOK).await;
        }
    }
}
