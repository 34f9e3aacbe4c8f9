//! Reading, and changing single tasks.

use clap::Args;
use service::exit::Failure;

use super::positive;

/// Default of `API_DATABASE_CONNECTIONS`.
const DATABASE_CONNECTIONS: u32 = 8;

/// Default of `API_READERS`.
const READERS: usize = 2;

/// How everything but submitting reaches Postgres.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Postgres connections")]
pub struct ReadArgs {
    /// Connections that read tasks by id. One asks while the other collects; more make smaller groups, which is slower.
    #[arg(id = "api-readers", long, value_name = "N", env = "API_READERS", default_value_t = READERS)]
    pub readers: usize,
    /// Most connections for lists and for cancel, retry and pause. More serve more slow lists at once and cost Postgres
    /// memory. (Readers, flushers, the notifier, the health check and those who wait have their own: API_READERS + API_FLUSHERS + 3.)
    #[arg(id = "api-database-connections", long, value_name = "N", env = "API_DATABASE_CONNECTIONS", default_value_t = DATABASE_CONNECTIONS)]
    pub database_connections: u32,
}

impl ReadArgs {
    pub(super) fn validate(&self) -> Result<(), Failure> {
        positive("API_READERS", self.readers as u64)?;
        positive("API_DATABASE_CONNECTIONS", self.database_connections)
    }
}

impl Default for ReadArgs {
    fn default() -> Self {
        Self { readers: READERS, database_connections: DATABASE_CONNECTIONS }
    }
}
