//! Logs: `LOG_FORMAT=text` (default) or `json`, level by `RUST_LOG` (default `info`).
//!
//! Lines go to standard output. Payloads, results and connection strings are never logged.

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::exit::Failure;

/// How and how much a process logs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct TelemetryArgs {
    /// Format of log lines.
    #[arg(long, global = true, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Level, or directives such as `info,worker=debug`.
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info")]
    pub log_level: String,
}

/// The two formats of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line, fields at the top level.
    Json,
}

/// Installs the log for this process. Call once, first.
pub fn init(args: &TelemetryArgs) -> Result<(), Failure> {
    let filter =
        EnvFilter::builder().parse(&args.log_level).map_err(|error| Failure::usage(format!("RUST_LOG: {error}")))?;
    let registry = tracing_subscriber::registry().with(filter);
    match args.log_format {
        LogFormat::Text => {
            registry.with(fmt::layer().with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout()))).init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true)).init(),
    }
    Ok(())
}
