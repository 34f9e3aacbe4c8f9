//! Group commit.

use clap::Args;
use service::exit::Failure;

use super::{Size, positive};

/// Default of `API_FLUSHERS`.
const FLUSHERS: usize = 2;
/// Default of `API_SUBMIT_BUFFER_TASKS`.
const SUBMIT_BUFFER_TASKS: usize = 20_000;
/// Default of `API_SUBMIT_BUFFER_BYTES`.
const SUBMIT_BUFFER_BYTES: Size = Size::of_mebibytes(64);

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
}

impl SubmitArgs {
    pub(super) fn validate(&self) -> Result<(), Failure> {
        positive("API_FLUSHERS", self.flushers as u64)
    }
}

impl Default for SubmitArgs {
    fn default() -> Self {
        Self { flushers: FLUSHERS, submit_buffer_tasks: SUBMIT_BUFFER_TASKS, submit_buffer_bytes: SUBMIT_BUFFER_BYTES }
    }
}
