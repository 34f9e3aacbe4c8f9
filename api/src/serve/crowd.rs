//! All open connections, and which of them must go: those whose request's head comes too slowly, and, when somebody else needs the
//! place, the one that has waited longest for its client.
//!
//! Only connections that have no request under way are dismissed: a client that is served is never cut off for another one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use service::backoff::jittered;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::pulse::{Phase, Pulse};
use crate::metrics::{HttpMetrics, ROOM, SLOW_HEAD};

/// Pace of the look for heads that come too slowly.
const PACE: Duration = Duration::from_secs(1);
/// Connections that have waited less are not dismissed to make room: a client between two requests is not taken for an idle one.
const SPARED: Duration = Duration::from_secs(1);

/// Every open connection. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    head_timeout: Duration,
    metrics: HttpMetrics,
    next: AtomicU64,
    members: Mutex<HashMap<u64, Member>>,
}

/// A connection, as the others see it.
#[derive(Clone, Debug)]
struct Member {
    pulse: Arc<Pulse>,
    dismissed: CancellationToken,
}

/// A connection's own view of it; out of the crowd when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    number: u64,
    pub(super) pulse: Arc<Pulse>,
    /// It must go.
    pub(super) dismissed: CancellationToken,
}

impl Crowd {
    pub(super) fn new(head_timeout: Duration, metrics: HttpMetrics) -> Self {
        let shared = Shared {
            started: Instant::now(),
            head_timeout,
            metrics,
            next: AtomicU64::new(0),
            members: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A new connection comes in.
    pub(super) fn enter(&self) -> Place {
        let pulse = Arc::new(Pulse::new(self.shared.started));
        let dismissed = CancellationToken::new();
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let member = Member { pulse: Arc::clone(&pulse), dismissed: dismissed.clone() };
        self.members().insert(number, member);
        self.shared.metrics.connections.inc();
        Place { crowd: self.clone(), number, pulse, dismissed }
    }

    /// Dismisses the connection that has waited longest for its client. False: all have requests under way, or none has waited long.
    pub(super) fn make_room(&self) -> bool {
        let now = self.now();
        let members = self.members();
        let waiting = members.values().filter(|member| !member.dismissed.is_cancelled());
        let waiting = waiting.filter_map(|member| match member.pulse.read() {
            (Phase::Busy, _) => None,
            (Phase::Quiet | Phase::Head, since) => (now.saturating_sub(since) >= SPARED).then_some((since, member)),
        });
        let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since) else { return false };
        longest.dismissed.cancel();
        self.shared.metrics.dismissed(ROOM);
        true
    }

    /// Dismisses connections whose head comes too slowly, for ever.
    pub(super) async fn watch_heads(self) {
        loop {
            time::sleep(jittered(PACE)).await;
            let now = self.now();
            for member in self.members().values() {
                let (phase, since) = member.pulse.read();
                let is_slow = phase == Phase::Head && now.saturating_sub(since) > self.shared.head_timeout;
                if is_slow && !member.dismissed.is_cancelled() {
                    member.dismissed.cancel();
                    self.shared.metrics.dismissed(SLOW_HEAD);
                }
            }
        }
    }

    /// On the clock of the pulses.
    fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    fn members(&self) -> MutexGuard<'_, HashMap<u64, Member>> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members().remove(&self.number);
        self.crowd.shared.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> Crowd {
        Crowd::new(Duration::from_secs(10), HttpMetrics::default())
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_longest_makes_room_and_who_is_served_never_does() {
        let crowd = crowd();
        let busy = crowd.enter();
        busy.pulse.busy();
        time::advance(SPARED).await;
        let first = crowd.enter();
        time::advance(SPARED).await;
        let second = crowd.enter();
        second.pulse.read_some();
        assert!(crowd.make_room() && first.dismissed.is_cancelled());
        assert!(!crowd.make_room(), "the second one came only now");
        time::advance(SPARED).await;
        assert!(crowd.make_room() && second.dismissed.is_cancelled());
        assert!(!crowd.make_room() && !busy.dismissed.is_cancelled());
        drop((busy, first, second));
        assert!(crowd.members().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn heads_must_come_in_time_and_waiting_for_one_is_no_head() {
        let crowd = crowd();
        let [quiet, slow, served] = [crowd.enter(), crowd.enter(), crowd.enter()];
        slow.pulse.read_some();
        served.pulse.read_some();
        served.pulse.busy();
        tokio::select! {
            () = crowd.clone().watch_heads() => {}
            () = slow.dismissed.cancelled() => {}
        }
        assert!(crowd.now() > Duration::from_secs(10));
        assert!(!quiet.dismissed.is_cancelled() && !served.dismissed.is_cancelled());
    }
}
