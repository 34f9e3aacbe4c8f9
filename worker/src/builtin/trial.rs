//! Kinds that every `worker` binary has, for trying things out.

use std::time::Duration;

use queue::Json;
use serde::{Deserialize, Serialize};

use crate::{Builder, Context, TaskError};

/// Registers `echo` and `sleep`.
pub fn with_builtin_handlers(builder: Builder) -> Builder {
    builder.handler("echo", echo).handler("sleep", sleep)
}

/// The result is the payload.
async fn echo(task: Context) -> Result<Json, TaskError> {
    Ok(task.payload().clone())
}

/// `{"ms": n}`: takes n milliseconds.
#[derive(Deserialize)]
struct Sleep {
    ms: u64,
}

#[derive(Serialize)]
struct Slept {
    slept_ms: u64,
}

async fn sleep(task: Context) -> Result<Slept, TaskError> {
    let Sleep { ms } = task.parse()?;
    let slept = task.stop().run_until_cancelled(tokio::time::sleep(Duration::from_millis(ms))).await;
    slept.map(|()| Slept { slept_ms: ms }).ok_or_else(|| TaskError::retry("told to stop"))
}
