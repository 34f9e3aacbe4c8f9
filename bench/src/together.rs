//! Things that run at the same time: all of them end, or the first failure ends the rest.

use service::exit::Failure;
use tokio::task::JoinSet;

/// Waits for all; in the order in which they ended.
pub(crate) async fn all<T: Send + 'static>(mut running: JoinSet<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let mut ended = Vec::with_capacity(running.len());
    while let Some(outcome) = running.join_next().await {
        ended.push(outcome.map_err(Failure::software)??);
    }
    Ok(ended)
}
