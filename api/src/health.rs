//! What `/ready` tells: a loop that looks whether Postgres is there and has the schema this release needs.
//!
//! Each look brings along which queues are strict, so that they are known before the API is ready.
//!
//! Whoever meets a broken connection raises a [`Suspicion`], and the loop looks at once instead of at its next turn.

use std::{sync::Arc, time::Duration};

use queue::strict;
use schema::migrate;
use service::{
    backoff::jittered,
    database::{Database, LinkError, Session},
    readiness::Readiness,
};
use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;

use crate::strict::StrictQueues;

/// Names of the dependencies.
pub(crate) const POSTGRES: &str = "postgres";
/// See [`POSTGRES`].
pub(crate) const SCHEMA: &str = "schema";

/// Between two looks while all is well.
const CALM_INTERVAL: Duration = Duration::from_secs(5);
/// Between two looks while something is missing.
const EAGER_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two looks, however many suspicions there are.
const PACE: Duration = Duration::from_millis(200);

const SESSION: Session = Session { statement_timeout: Duration::from_secs(3), ..Session::POOL.named("health") };

/// Says that Postgres may be away. Clones reach the same loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspicion {
    raised: Arc<Notify>,
}

impl Suspicion {
    /// Asks for a look at once.
    pub(crate) fn raise(&self) {
        self.raised.notify_one();
    }
}

/// Keeps `readiness` and `queues` up to date until `stop`.
pub(crate) async fn watch(
    database: Database,
    readiness: Readiness,
    suspicion: Suspicion,
    queues: StrictQueues,
    stop: CancellationToken,
) {
    let mut link = database.link(SESSION);
    loop {
        let look = link.run(async |connection| {
            let status = migrate::status_on(connection).await?;
            if status.pending.is_empty() {
                queues.set(strict::load(connection).await?);
            }
            Ok(status)
        });
        let (postgres, schema) = judge(look.await);
        let interval = if postgres.is_ok() && schema.is_ok() { CALM_INTERVAL } else { EAGER_INTERVAL };
        readiness.set(POSTGRES, postgres);
        readiness.set(SCHEMA, schema);
        tokio::select! {
            () = time::sleep(jittered(interval)) => {}
            () = async { time::sleep(PACE).await; suspicion.raised.notified().await } => {}
            () = stop.cancelled() => return,
        }
    }
}

type Verdict = Result<(), String>;

fn judge(outcome: Result<migrate::Status, LinkError>) -> (Verdict, Verdict) {
    match outcome {
        Ok(status) if status.pending.is_empty() => (Ok(()), Ok(())),
        Ok(status) => (Ok(()), Err(format!("pending migrations: {}", status.pending.join(", ")))),
        Err(error) if error.is_answer() => (Ok(()), Err(format!("cannot be read: {error}"))),
        Err(error) => (Err(error.to_string()), Err("unknown while postgres is away".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_part_is_named() {
        let status = |pending: &[&str]| migrate::Status {
            applied: Vec::new(),
            pending: pending.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(judge(Ok(status(&[]))), (Ok(()), Ok(())));
        assert_eq!(judge(Ok(status(&["1", "2"]))), (Ok(()), Err("pending migrations: 1, 2".to_owned())));
        let (postgres, schema) = judge(Err(LinkError::TimedOut));
        assert!(postgres.is_err() && schema.is_err());
    }
}
