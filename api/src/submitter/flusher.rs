//! The loop that stores what is in the buffer.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use dispatch::Publisher;
use futures_util::future::join;
use queue::{
    ReadyBatch, session,
    submit::{self, Stored},
    wakeup::{Hint, Notifier},
};
use service::{
    backoff::Backoff,
    database::{Database, Link, LinkError},
};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::{
    Shared, SubmitError, Submitter,
    group::{Group, Request},
};
use crate::{health::Suspicion, metrics::SubmitMetrics};

/// How long a group is tried to be stored while Postgres is away, unless requests are given up earlier.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most requests of a group that may be refused one by one. More of them mean that it is not about them, and the rest is not tried.
const REFUSED_LIMIT: usize = 3;

/// Owns a connection and stores groups until the buffer is closed and empty.
pub struct Flusher {
    shared: Arc<Shared>,
    link: Link,
    publisher: Publisher,
    notifier: Notifier,
    suspicion: Suspicion,
    metrics: SubmitMetrics,
    deadline: Duration,
}

/// Why a group is not stored.
enum NotStored {
    /// The database answered with an error, twice. Nothing is stored.
    Refused(LinkError),
    /// No connection until the deadline, and no statement was sent. Nothing is stored.
    Away,
    /// A statement was sent and no answer came until the deadline.
    Unknown,
}

impl Flusher {
    /// A flusher of a submitter's buffer.
    pub(crate) fn new(
        submitter: &Submitter,
        database: &Database,
        publisher: Publisher,
        notifier: Notifier,
        suspicion: Suspicion,
        metrics: SubmitMetrics,
    ) -> Self {
        Self {
            shared: Arc::clone(&submitter.shared),
            link: database.link(session::DURABLE.named("flusher")),
            publisher,
            notifier,
            suspicion,
            metrics,
            // Half, so that a request which came into the buffer late is told what happened to it.
            deadline: DEADLINE.min(submitter.patience / 2),
        }
    }

    /// The loop.
    pub async fn run(mut self) {
        while let Some(requests) = self.shared.next_group().await {
            let (live, expired): (Vec<_>, Vec<_>) =
                requests.into_iter().partition(|request| request.expires > Instant::now());
            for request in expired {
                let _ = request.reply.send(Err(SubmitError::NotStored));
            }
            if !live.is_empty() {
                self.flush(live).await;
            }
        }
    }

    /// Stores requests as one group. Refused, it is halved again and again: a bad request must not fail its neighbours.
    async fn flush(&mut self, requests: Vec<Request>) {
        let deadline = Instant::now() + self.deadline;
        let mut refused = 0;
        let mut groups = vec![Group::new(requests)];
        while let Some(group) = groups.pop() {
            if refused >= REFUSED_LIMIT {
                group.fail(SubmitError::NotStored);
                continue;
            }
            let mut slot = Some(group);
            let stored = self.store(&mut slot, deadline).await;
            let (Some(group), Err(error)) = (slot, stored) else { continue };
            match error {
                NotStored::Refused(reason) if group.requests() > 1 => {
                    warn!(%reason, requests = group.requests(), "Postgres refused a group of requests; trying halves");
                    let (first, second) = group.halves();
                    groups.extend([second, first]);
                }
                NotStored::Refused(reason) => {
                    error!(%reason, "Postgres refused a request that passed every check");
                    refused += 1;
                    group.fail(SubmitError::NotStored);
                }
                NotStored::Away => group.fail(SubmitError::NotStored),
                NotStored::Unknown => group.fail(SubmitError::Unknown),
            }
        }
    }

    /// Stores a group, again and again under the same ids while it is unknown what became of the last try. A group that is stored is taken
    /// out of its slot and acknowledged.
    async fn store(&mut self, slot: &mut Option<Group>, deadline: Instant) -> Result<(), NotStored> {
        let mut backoff = Backoff::default();
        let mut was_sent = false;
        let mut refusals = 0;
        loop {
            let Err(error) = self.store_once(slot).await else { return Ok(()) };
            debug!(%error, "could not store tasks");
            self.metrics.failed();
            self.suspicion.raise();
            // The first answer may be about the connection (a shutdown, a deadlock); the same one twice is about the statement.
            refusals += usize::from(error.is_answer());
            was_sent |= !error.is_answer() && !matches!(error, LinkError::Connect(_));
            if refusals >= 2 && !was_sent {
                return Err(NotStored::Refused(error));
            }
            if Instant::now() >= deadline {
                return Err(if was_sent { NotStored::Unknown } else { NotStored::Away });
            }
            backoff.wait().await;
        }
    }

    /// Workers are told by a statement that follows the storing one without waiting for its answer, if it is this process's turn to
    /// tell. Clients do not wait for it.
    async fn store_once(&mut self, slot: &mut Option<Group>) -> Result<(), LinkError> {
        let Self { link, publisher, notifier, metrics, .. } = self;
        // On a new connection the first statement is prepared first, and another one would overtake it.
        let turn = slot.as_ref().filter(|_| link.is_open()).and_then(|group| publisher.turn(group.queues()));
        let ready = link
            .run(async |connection| {
                let store = async {
                    let Some(group) = slot.as_ref() else { return Ok(Vec::new()) };
                    let started = Instant::now();
                    let stored = submit::store(connection, &group.submission).await?;
                    metrics.flushed(group.submission.ids().len(), started.elapsed());
                    Ok(slot.take().map(|group| acknowledge(group, &stored, notifier)).unwrap_or_default())
                };
                let tell = async {
                    match &turn {
                        Some(turn) => turn.send(connection).await.is_ok(),
                        None => false,
                    }
                };
                let (stored, is_told) = join(store, tell).await;
                stored.map(|ready| if is_told { Vec::new() } else { ready })
            })
            .await?;
        publisher.publish(ready);
        Ok(())
    }
}

/// Answers those who wait. Returns what is ready now.
fn acknowledge(group: Group, stored: &Stored, notifier: &Notifier) -> Vec<ReadyBatch> {
    let now = Utc::now();
    let (ready, is_something_later) = group.news(stored, now);
    if is_something_later {
        notifier.tell(Hint::Schedule);
    }
    group.acknowledge(stored, now);
    ready
}
