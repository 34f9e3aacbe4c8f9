//! How a process is told to stop.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{exit::Failure, tasks::Tasks};

/// Exit code after the second signal: 128 + SIGTERM, as a shell would report it.
const KILLED_BY_SECOND_SIGNAL: i32 = 143;

/// Returns a token that is cancelled by the first SIGTERM or SIGINT. The second one ends the process at once.
pub fn on_signal(tasks: &Tasks) -> Result<CancellationToken, Failure> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tasks.spawn_detached(async move {
        let first = next(&mut terminate, &mut interrupt).await;
        info!(signal = first, "stopping; a second signal exits at once");
        stop.cancel();
        let second = next(&mut terminate, &mut interrupt).await;
        warn!(signal = second, "second signal: exiting without waiting");
        process::exit(KILLED_BY_SECOND_SIGNAL);
    });
    Ok(token)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::software(format!("cannot listen for signals: {error}")))
}
