//! Where a worker hears which batches to claim.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use queue::{BatchId, claim::ClaimedBatches, task::Lane, workers::WorkerId};
use tokio::{sync::mpsc, time::Instant};

use crate::{link::Redis, metrics::Metrics, reader::Reader, streams::Entry};

/// How much longer than expected a task in the table may have waited before Redis counts as having lost it.
const MARGIN: Duration = Duration::from_secs(1);

/// Batches to claim, and how to acknowledge them.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The batches. Somebody else may have taken them.
    pub batches: BTreeSet<BatchId>,
    /// The entries, by the number of their stream, that told of them.
    pub(crate) entries: BTreeMap<usize, Vec<Entry>>,
}

/// What a reader is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Deliver up to about so many batches, as soon as there is one.
    Read(usize),
    /// Acknowledge a delivery; these of its batches shall be delivered again, to anybody.
    Settle(Delivery, BTreeSet<BatchId>),
}

/// What a worker's streams are like, as far as its reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    /// Redis cannot be reached.
    Away,
    /// There was nothing at the last look.
    Empty,
    /// They delivered at the last look.
    Flowing,
}

/// What the reader knows, for the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedState(Arc<AtomicU8>);

impl SharedState {
    pub(crate) fn set(&self, state: StreamState) {
        self.0.store(state as u8, Ordering::Relaxed);
    }

    fn get(&self) -> StreamState {
        match self.0.load(Ordering::Relaxed) {
            0 => StreamState::Away,
            1 => StreamState::Empty,
            _ => StreamState::Flowing,
        }
    }
}

/// See the module. With backend `postgres` there is never anything to hear.
#[derive(Debug)]
pub struct Source(Option<Channel>);

#[derive(Debug)]
struct Channel {
    commands: mpsc::Sender<Command>,
    deliveries: mpsc::Receiver<Delivery>,
    is_asked: bool,
    /// When the last delivery was claimed, and how long its tasks had waited.
    last: Option<(Instant, Duration)>,
    stream_state: SharedState,
    lanes: usize,
    /// How many looks at the table follow at once, whatever they find: each starts with another lane, and finds more of that than there is
    /// room for when that one is busy.
    looks_left: usize,
    metrics: Metrics,
}

pub(crate) fn open(redis: Option<&Redis>, worker: WorkerId, lanes: &[Lane], metrics: &Metrics) -> (Source, Reader) {
    let Some(redis) = redis else { return (Source(None), Reader::idle()) };
    // Commands follow each other: at most one to read and one to settle wait.
    let (commands, to_do) = mpsc::channel(4);
    let (delivered, deliveries) = mpsc::channel(1);
    let stream_state = SharedState::default();
    let reader = Reader::new(redis, worker, lanes, to_do, delivered, stream_state.clone(), metrics.clone());
    let channel = Channel {
        commands,
        deliveries,
        is_asked: false,
        last: None,
        stream_state,
        lanes: lanes.len(),
        looks_left: lanes.len(),
        metrics: metrics.clone(),
    };
    (Source(Some(channel)), reader)
}

impl Source {
    /// Waits for batches to claim: about `count`, or as many as there are. May be dropped and called again; nothing is lost.
    pub async fn next(&mut self, count: usize) -> Delivery {
        let Some(channel) = &mut self.0 else { return std::future::pending().await };
        if !channel.is_asked {
            channel.is_asked = channel.commands.try_send(Command::Read(count)).is_ok();
        }
        match channel.deliveries.recv().await {
            Some(delivery) => {
                channel.is_asked = false;
                channel.metrics.delivered.inc_by(delivery.batches.len() as u64);
                delivery
            }
            None => std::future::pending().await,
        }
    }

    /// A delivery was claimed: what was taken is others' no more, what is left goes back to the stream.
    pub async fn settle(&mut self, delivery: Delivery, claimed: &ClaimedBatches) {
        let Some(channel) = &mut self.0 else { return };
        let found: BTreeSet<_> =
            claimed.tasks.iter().map(|task| task.id.batch()).chain(claimed.left.iter().copied()).collect();
        channel.metrics.stale.inc_by((delivery.batches.len() - found.len().min(delivery.batches.len())) as u64);
        if let Some(waited) = claimed.tasks.iter().map(|task| task.waited).max() {
            channel.last = Some((Instant::now(), waited));
        }
        let left = claimed.left.iter().copied().collect();
        let _ = channel.commands.send(Command::Settle(delivery, left)).await;
    }

    /// A delivery could not be claimed: all of it goes back to the stream.
    pub async fn put_back(&mut self, delivery: Delivery) {
        let Some(channel) = &mut self.0 else { return };
        let left = delivery.batches.clone();
        let _ = channel.commands.send(Command::Settle(delivery, left)).await;
    }

    /// There has been no room for a while: what was delivered meanwhile goes back to the streams, for others.
    pub async fn let_go(&mut self) {
        let Some(channel) = &mut self.0 else { return };
        if let Ok(delivery) = channel.deliveries.try_recv() {
            channel.is_asked = false;
            self.put_back(delivery).await;
        }
    }

    /// How long to hear first, before the first look at the table.
    pub fn head_start(&self) -> Duration {
        if self.0.is_some() { MARGIN } else { Duration::ZERO }
    }

    /// The table held more than was asked for, and a task in it had waited so long: how soon to look there again. `poll` is how soon to look
    /// when nobody told anything.
    ///
    /// In Postgres mode at once: there is no other way to hear of the rest. In Redis mode the streams deliver about in the order of the table, so
    /// a task there that has waited much longer than those just delivered is one that Redis lost, and the next looks follow at once, too: until a
    /// look at each lane has found none. Otherwise the rest is left to the streams, for a claim from the table makes their entries stale.
    pub fn look_again_in(&mut self, waited: Duration, poll: Duration) -> Duration {
        let Some(channel) = &mut self.0 else { return Duration::ZERO };
        let (expected, otherwise) = match (channel.stream_state.get(), channel.last) {
            (StreamState::Away, _) => return Duration::ZERO,
            (StreamState::Empty, _) | (StreamState::Flowing, None) => (MARGIN, MARGIN),
            (StreamState::Flowing, Some((at, waited))) => (waited + at.elapsed() + MARGIN, poll),
        };
        let is_lost = waited > expected;
        channel.looks_left = if is_lost { channel.lanes } else { channel.looks_left.saturating_sub(1) };
        if channel.looks_left > 0 {
            return Duration::ZERO;
        }
        channel.looks_left = channel.lanes;
        otherwise.min(poll)
    }
}
