//! Posts all tasks, each in a request of its own.

use std::time::Instant;

use futures_util::{TryStreamExt, stream};
use service::backoff::Backoff;
use tokio::time::sleep;
use uuid::Uuid;

use super::{answer::Submitted, args::LoadTestArgs, client::Client, ledger::Ledger};

/// Ends when every task was acknowledged, however often its request has to be sent; an error is a refusal for good.
pub(super) async fn submit_all(client: &Client, ledger: &Ledger, run: Uuid, args: &LoadTestArgs) -> Result<(), String> {
    stream::iter((1..=args.tasks).map(Ok))
        .try_for_each_concurrent(usize::from(args.concurrency), |n| submit(client, ledger, payload(run, n)))
        .await
}

async fn submit(client: &Client, ledger: &Ledger, payload: String) -> Result<(), String> {
    let began = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        ledger.sending();
        let again = match client.submit(payload.clone()).await {
            Submitted::Accepted(id) => {
                ledger.acknowledged(id, began.elapsed());
                return Ok(());
            }
            Submitted::NotStored(again) => {
                ledger.not_stored(&again.reason);
                again
            }
            Submitted::Unknown(again) => {
                ledger.unknown(&again.reason);
                again
            }
            Submitted::Refused(reason) => {
                ledger.refused(&reason);
                return Err(reason);
            }
        };
        sleep(again.after + backoff.next_wait()).await;
    }
}

fn payload(run: Uuid, n: u32) -> String {
    format!(r#"{{"load_test":"{run}","n":{n}}}"#)
}
