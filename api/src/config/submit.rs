//! Group commit.

use std::time::Duration;

use clap::Args;
use service::exit::Failure;

use super::{Size, positive};

/// Default of `API_FLUSHERS`.
const FLUSHERS: usize = 2;
/// Default of `API_SUBMIT_BUFFER_TASKS`.
const SUBMIT_BUFFER_TASKS: usize = 20_000;
/// Default of `API_SUBMIT_BUFFER_BYTES`.
const SUBMIT_BUFFER_BYTES: Size = Size::of_mebibytes(64);
/// Default of `API_IDEMPOTENCY_TTL`.
const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 3600);
/// Longest `API_IDEMPOTENCY_TTL`: keys are a table that somebody has to keep.
const IDEMPOTENCY_TTL_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// How tasks are stored.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Submitting")]
pub struct SubmitArgs {
    /// Connections that store tasks. One commits while the other collects; more make smaller groups, which is slower.
    #[arg(id = "api-flushers", long, value_name = "N", env = "API_FLUSHERS", default_value_t = FLUSHERS)]
    pub flushers: usize,
    /// Most tasks that wait to be stored; over it, 503. At least 10000, a whole batch request.
    #[arg(id = "api-submit-buffer-tasks", long, value_name = "N", env = "API_SUBMIT_BUFFER_TASKS", default_value_t = SUBMIT_BUFFER_TASKS)]
    pub submit_buffer_tasks: usize,
    /// Most memory of tasks that wait to be stored; over it, 503.
    #[arg(id = "api-submit-buffer-bytes", long, value_name = "SIZE", env = "API_SUBMIT_BUFFER_BYTES", default_value_t = SUBMIT_BUFFER_BYTES)]
    pub submit_buffer_bytes: Size,
    /// How long an Idempotency-Key is remembered. Longer than clients go on trying; each key takes a row until then.
    #[arg(id = "api-idempotency-ttl", long, value_name = "DURATION", env = "API_IDEMPOTENCY_TTL", default_value_t = IDEMPOTENCY_TTL.into())]
    pub idempotency_ttl: humantime::Duration,
}

impl SubmitArgs {
    pub(super) fn validate(&self) -> Result<(), Failure> {
        positive("API_FLUSHERS", self.flushers as u64)?;
        positive("API_IDEMPOTENCY_TTL", self.idempotency_ttl.as_millis())?;
        if *self.idempotency_ttl > IDEMPOTENCY_TTL_LIMIT {
            return Err(Failure::usage("API_IDEMPOTENCY_TTL must be at most 366 days"));
        }
        Ok(())
    }
}

impl Default for SubmitArgs {
    fn default() -> Self {
        Self {
            flushers: FLUSHERS,
            submit_buffer_tasks: SUBMIT_BUFFER_TASKS,
            submit_buffer_bytes: SUBMIT_BUFFER_BYTES,
            idempotency_ttl: IDEMPOTENCY_TTL.into(),
        }
    }
}
