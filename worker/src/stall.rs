//! Gives tasks back that wait behind long ones.
//!
//! Tasks are claimed ahead by how long tasks took so far. When all slots then turn out to be busy for long, what waits
//! here would wait while other workers are idle.

use std::{sync::Arc, time::Duration};

use service::backoff::jittered;
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{finisher::Completed, heartbeat::give_back, incarnation::Shared};

/// When no slot took a task for so long, none is expected to.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, completed: mpsc::WeakSender<Completed>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = time::sleep(jittered(PATIENCE / 2)) => {}
            () = stop.cancelled() => return,
        }
        let stalled = shared.buffer.stalled(PATIENCE);
        if !stalled.is_empty() {
            debug!(tasks = stalled.len(), "all slots are busy for long: giving back what was claimed ahead");
            shared.prefetch().stalled(PATIENCE);
            give_back(&completed, stalled).await;
        }
    }
}
