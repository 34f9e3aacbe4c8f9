//! `migrate`: brings a database to the version that this release needs.

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use schema::{
    migrate,
    partitions::{DEFAULT_DAYS_AHEAD, MOST_DAYS_AHEAD},
    roles::{self, RolesArgs},
};
use service::{
    database::{Database, DatabaseArgs},
    exit::{self, Failure},
    telemetry::{self, TelemetryArgs},
};
use tracing::info;

/// Applies Taskrow's migrations: waits for the database, takes a lock, applies what is pending, makes partitions ahead.
///
/// Safe to run again, and at the same time as another. Exit codes: 0 done, 64 bad configuration, 69 the database (or the
/// lock) stayed away until the deadline, 70 a migration failed.
#[derive(Parser)]
#[command(name = "migrate", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Apply nothing: wait until somebody else has applied everything this release needs.
    #[arg(long)]
    wait: bool,
    /// Longest wait for the database, and for another migrator.
    #[arg(long, env = "MIGRATE_DEADLINE", value_parser = humantime::parse_duration, default_value = "2m", global = true)]
    deadline: Duration,
    /// Days to make partitions for, from tomorrow on.
    #[arg(long, env = "PARTITION_DAYS_AHEAD", default_value_t = DEFAULT_DAYS_AHEAD,
        value_parser = clap::value_parser!(u32).range(..=i64::from(MOST_DAYS_AHEAD)))]
    days_ahead: u32,
    #[command(flatten)]
    roles: RolesArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Print which migrations are applied and which are pending. Exit code 70 when some are pending.
    Status,
    /// Revert the newest migration. Deletes the data of the tables it made.
    Revert,
}

#[tokio::main]
async fn main() -> ExitCode {
    match exit::parse::<Cli>() {
        Ok(cli) => exit::report_result(run(cli).await),
        Err(code) => code,
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    telemetry::init(&cli.telemetry)?;
    let database = cli.database.database("migrate")?;
    match cli.command {
        Some(Command::Status) => status(&database, cli.deadline).await,
        Some(Command::Revert) => {
            let version = migrate::revert(&database, cli.deadline).await.map_err(failure)?;
            info!(version = version.as_deref().unwrap_or("none"), "reverted");
            Ok(())
        }
        None if cli.wait => {
            migrate::wait(&database, cli.deadline).await.map_err(failure)?;
            info!(version = migrate::required_version(), "the schema is at the version this release needs");
            Ok(())
        }
        None => {
            let roles = cli.roles.roles()?;
            let done = migrate::up(&database, cli.days_ahead, cli.deadline).await.map_err(failure)?;
            roles::apply(&database, &roles, cli.deadline).await.map_err(failure)?;
            info!(
                applied = if done.applied.is_empty() { "nothing to do".to_owned() } else { done.applied.join(", ") },
                partitions = done.partitions.len(),
                version = migrate::required_version(),
                "migrated"
            );
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of `migrate status` is its output")]
async fn status(database: &Database, deadline: Duration) -> Result<(), Failure> {
    let status = migrate::status(database, deadline).await.map_err(failure)?;
    let known = migrate::versions();
    for version in &status.applied {
        let by = if known.contains(version) { "" } else { " by another release" };
        println!("applied  {version}{by}");
    }
    for version in &status.pending {
        println!("pending  {version}");
    }
    if status.pending.is_empty() { Ok(()) } else { Err(Failure::software("migrations are pending")) }
}

fn failure(error: migrate::Error) -> Failure {
    match error {
        migrate::Error::Deadline(..) => Failure::unavailable(error),
        _ => Failure::software(error),
    }
}
