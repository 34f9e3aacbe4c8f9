//! Makes day partitions ahead, so that an installation without the cleanup job does not run out of them: `migrate` makes those of a week.
//!
//! Where that fails for long, tasks of days that nobody made partitions for land in the default partition, from which retention deletes them
//! one by one.

use std::{sync::Arc, time::Duration};

use queue::session;
use schema::partitions::{DEFAULT_DAYS_AHEAD, create_ahead};
use service::backoff::jittered;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::incarnation::Shared;

/// Time between two looks. Some pass before the last partition made is used.
const INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// Works until `stop`, on a connection that is there only meanwhile.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let mut link = shared.database.link(session::CLEANUP.named("partitions"));
        let making = link.run(async |connection| create_ahead(connection, DEFAULT_DAYS_AHEAD).await);
        match stop.run_until_cancelled(making).await {
            None => return,
            Some(Ok(made)) if made.is_empty() => {}
            Some(Ok(made)) => info!(?made, "made partitions ahead"),
            Some(Err(error)) => {
                warn!(%error, "cannot make partitions ahead; `worker cleanup` or `migrate` does it, too")
            }
        }
        drop(link);
        if stop.run_until_cancelled(time::sleep(jittered(INTERVAL))).await.is_none() {
            return;
        }
    }
}
