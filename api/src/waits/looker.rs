//! The loop that asks for those who wait.

use std::{collections::HashMap, sync::Arc};

use queue::{session, watch::look_at};
use service::{
    backoff::Backoff,
    database::{Database, Link},
};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{PACE, Shared, Waits};
use crate::{health::Suspicion, metrics::WaitMetrics};

/// Most who share a statement.
const ROUND: usize = 1024;

/// Owns a connection, which it opens when somebody waits for the first time.
pub(crate) struct Looker {
    shared: Arc<Shared>,
    link: Link,
    suspicion: Suspicion,
    metrics: WaitMetrics,
}

impl Looker {
    pub(crate) fn new(waits: &Waits, database: &Database, suspicion: Suspicion, metrics: WaitMetrics) -> Self {
        let link = database.link(session::LOOKUP.named("waits"));
        Self { shared: Arc::clone(&waits.shared), link, suspicion, metrics }
    }

    /// Looks until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look_again_and_again()).await;
    }

    /// While Postgres is away nobody is told anything: each gives up when its own time is over.
    async fn look_again_and_again(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            self.shared.until_due().await;
            let started = Instant::now();
            let round = self.shared.table().take_due(started, ROUND);
            let questions = round.questions();
            if questions.is_empty() {
                continue; // Whose turn it was has just gone.
            }
            match self.link.run(async |connection| look_at(connection, &questions).await).await {
                Ok(looks) => {
                    self.metrics.looked(questions.len(), started.elapsed());
                    let looks: HashMap<_, _> = looks.into_iter().collect();
                    self.shared.table().tell(&round, &looks, Instant::now());
                    backoff.reset();
                    time::sleep(PACE).await;
                }
                Err(error) => {
                    debug!(%error, tasks = questions.len(), waiting = round.places(), "could not look at tasks");
                    self.metrics.failed();
                    self.suspicion.raise();
                    backoff.wait().await;
                }
            }
        }
    }
}
