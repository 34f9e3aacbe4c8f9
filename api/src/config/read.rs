//! Reading, and changing single tasks.

use clap::Args;
use service::exit::Failure;

use super::positive;

/// Default of `API_DATABASE_CONNECTIONS`.
const DATABASE_CONNECTIONS: u32 = 8;

/// How everything but submitting reaches Postgres.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Postgres connections")]
pub struct ReadArgs {
    /// Most connections for reads and for cancel, retry and pause. More serve more slow readers at once and cost Postgres
    /// memory. (Flushers, the notifier and the health check have their own: API_FLUSHERS + 2.)
    #[arg(id = "api-database-connections", long, value_name = "N", env = "API_DATABASE_CONNECTIONS", default_value_t = DATABASE_CONNECTIONS)]
    pub database_connections: u32,
}

impl ReadArgs {
    pub(super) fn validate(&self) -> Result<(), Failure> {
        positive("API_DATABASE_CONNECTIONS", self.database_connections)
    }
}

impl Default for ReadArgs {
    fn default() -> Self {
        Self { database_connections: DATABASE_CONNECTIONS }
    }
}
