//! Waiting for tasks.

use clap::Args;

/// Default of `API_WAITERS`.
const WAITERS: usize = 1000;

/// How many clients may wait.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Waiting")]
pub struct WaitArgs {
    /// Most requests that wait for a task at once, event streams included. More are answered at once, without waiting; 0: nobody
    /// waits. Each holds a connection of API_CONNECTIONS; a thousand long ones cost Postgres one small statement every few
    /// milliseconds.
    #[arg(id = "api-waiters", long, value_name = "N", env = "API_WAITERS", default_value_t = WAITERS)]
    pub waiters: usize,
}

impl Default for WaitArgs {
    fn default() -> Self {
        Self { waiters: WAITERS }
    }
}
