//! `worker cleanup`: drops old tasks and makes partitions ahead; for a CronJob.

use std::time::Duration;

use clap::Args;
use queue::{
    retention::{self, Cleaned},
    session,
};
use schema::partitions::{DEFAULT_DAYS_AHEAD, MOST_DAYS_AHEAD};
use service::{database::Database, exit::Failure};

/// What to keep.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cleanup")]
pub struct CleanupArgs {
    /// How long tasks are kept after they ended. Whole days are dropped, so some stay up to a day longer.
    #[arg(long, env = "TASK_RETENTION", value_parser = humantime::parse_duration, default_value = "7days")]
    pub retention: Duration,
    /// Days to make partitions for, from tomorrow on.
    #[arg(long, env = "PARTITION_DAYS_AHEAD", default_value_t = DEFAULT_DAYS_AHEAD,
        value_parser = clap::value_parser!(u32).range(..=i64::from(MOST_DAYS_AHEAD)))]
    pub days_ahead: u32,
}

/// Cleans up once.
pub async fn clean_up(database: &Database, args: &CleanupArgs) -> Result<Cleaned, Failure> {
    let mut link = database.link(session::CLEANUP);
    link.run(async |connection| retention::clean_up(connection, args.retention, args.days_ahead).await)
        .await
        .map_err(Failure::unavailable)
}
