//! Starts again what ended by itself, as Kubernetes would; nothing should.

use std::{sync::Arc, time::Duration};

use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::system::System;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Looks at every process that no fault has, until told to stop. What ended by itself, in words.
pub async fn supervise(system: Arc<System>, stop: CancellationToken) -> Vec<String> {
    let mut complaints = Vec::new();
    while stop.run_until_cancelled(time::sleep(PAUSE)).await.is_some() {
        for node in system.nodes() {
            let Ok(mut process) = node.process.try_lock() else { continue };
            match process.is_running() {
                Ok(true) => {}
                Ok(false) => {
                    complaints.push(format!("{} ended by itself; its log says why", process.name()));
                    if let Err(failure) = process.start() {
                        complaints.push(failure.to_string());
                    }
                }
                Err(failure) => complaints.push(failure.to_string()),
            }
        }
    }
    complaints
}
