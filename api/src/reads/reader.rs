//! The loop that answers what waits.

use std::time::Duration;

use queue::{inspect, session};
use service::{
    backoff::Backoff,
    database::{Database, Link, LinkError},
};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{GROUP_LIMIT, Reads, group::Group};
use crate::{health::Suspicion, metrics::ReadMetrics};

/// How long a group is tried to be read while Postgres is away, unless requests are given up earlier.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most ids of a group that may be refused one by one. More of them mean that it is not about them, and the rest is not tried.
const REFUSED_LIMIT: usize = 3;

/// Owns a connection and answers groups.
pub(crate) struct Reader {
    reads: Reads,
    link: Link,
    suspicion: Suspicion,
    metrics: ReadMetrics,
    deadline: Duration,
}

/// Why a group, or the rest of it, is not answered.
enum NotRead {
    /// The database answered with an error, twice.
    Refused(LinkError),
    /// No answer until the deadline.
    Away,
}

impl Reader {
    /// A reader of what waits.
    pub(crate) fn new(reads: &Reads, database: &Database, suspicion: Suspicion, metrics: ReadMetrics) -> Self {
        Self {
            reads: reads.clone(),
            link: database.link(session::LOOKUP.named("reader")),
            suspicion,
            metrics,
            // Half, so that a request which came late has a try of its own.
            deadline: DEADLINE.min(reads.patience / 2),
        }
    }

    /// Answers until `stop`. Who waits then is told that the task cannot be read.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.answer_all()).await;
    }

    /// The loop. The queue never closes: a reader has a sender of it, too.
    async fn answer_all(&mut self) {
        let mut requests = Vec::with_capacity(GROUP_LIMIT);
        loop {
            self.reads.waiting.lock().await.recv_many(&mut requests, GROUP_LIMIT).await;
            self.answer(Group::new(requests.drain(..))).await;
        }
    }

    /// Answers a group. Refused, it is halved again and again: a task that cannot be read must not hide its neighbours.
    async fn answer(&mut self, group: Group) {
        let deadline = Instant::now() + self.deadline;
        let mut refused = 0;
        let mut groups = vec![group];
        while let Some(mut group) = groups.pop() {
            if group.is_empty() || refused >= REFUSED_LIMIT {
                continue;
            }
            match self.read(&mut group, deadline).await {
                Ok(()) => group.not_found(),
                Err(NotRead::Refused(reason)) if group.len() > 1 => {
                    warn!(%reason, tasks = group.len(), "Postgres refused to read tasks; trying halves");
                    let (first, second) = group.halves();
                    groups.extend([second, first]);
                }
                Err(NotRead::Refused(reason)) => {
                    error!(%reason, "Postgres refused to read a task");
                    refused += 1;
                }
                Err(NotRead::Away) => {}
            }
        }
    }

    /// Reads what a group asks for, again and again while no answer comes. Who is left in the group then asked for what does not exist.
    async fn read(&mut self, group: &mut Group, deadline: Instant) -> Result<(), NotRead> {
        let mut backoff = Backoff::default();
        let mut refusals = 0;
        loop {
            let started = Instant::now();
            let ids = group.ids();
            let read =
                self.link.run(async |connection| inspect::get_many(connection, &ids, |task| group.found(task)).await);
            let error = match time::timeout_at(deadline, read).await {
                Ok(Ok(())) => {
                    self.metrics.read(ids.len(), started.elapsed());
                    return Ok(());
                }
                Ok(Err(error)) => error,
                Err(_) => LinkError::TimedOut,
            };
            debug!(%error, tasks = ids.len(), "could not read tasks");
            self.metrics.failed();
            self.suspicion.raise();
            if group.is_empty() {
                return Ok(());
            }
            // The first answer may be about the connection (a shutdown); the same one twice is about the statement.
            refusals += usize::from(error.is_answer());
            if refusals >= 2 {
                return Err(NotRead::Refused(error));
            }
            if Instant::now() >= deadline {
                return Err(NotRead::Away);
            }
            backoff.wait().await;
        }
    }
}
