//! A line of log about each second: what waits, what runs, what is over.

use std::time::Duration;

use service::backoff::jittered;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    answer::{Again, Trouble},
    client::Client,
    ledger::Ledger,
};

/// Between two lines. The API counts its queues once a second at most, however many ask.
const INTERVAL: Duration = Duration::from_secs(1);

/// Never ends. The question doubles as a look whether the API is there.
pub(super) async fn log(client: &Client, ledger: &Ledger) {
    let mut retries_told = 0;
    loop {
        let depth = client.depth().await;
        let totals = ledger.totals();
        let (accepted, finals, retries, unknown) =
            (totals.acknowledged, totals.finals(), totals.retries, totals.unknown);
        match depth {
            Ok(depth) => {
                let (queued, scheduled, processing) = (depth.queued, depth.scheduled, depth.processing);
                let last_refusal = totals.last_refusal.filter(|_| retries > retries_told);
                info!(
                    queued,
                    scheduled,
                    processing,
                    accepted,
                    r#final = finals,
                    retries,
                    unknown,
                    last_refusal,
                    "progress"
                );
                ledger.set_away(None);
            }
            Err(Trouble::Again(Again { reason, .. }) | Trouble::Refused(reason)) => {
                warn!(reason, accepted, r#final = finals, retries, unknown, "progress, queue depth not known");
                ledger.set_away(Some(reason));
            }
        }
        retries_told = retries;
        sleep(jittered(INTERVAL)).await;
    }
}
