//! Finds the local Postgres, or runs a command with a throw-away server beside it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod exec;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use local_pg::{Error, Installation};

/// A private Postgres for local runs, tests and benchmarks.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the directory and version of the Postgres that would be used, then of the others found.
    Find,
    /// Run a command with TASKROW_TEST_SERVER set to a throw-away server's URL; exits as the command does.
    Exec {
        /// The server's major version; without it, the first that is found.
        #[arg(long, value_parser = clap::value_parser!(u32).range(14..=18))]
        major: Option<u32>,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Find => find(),
        Command::Exec { major, command } => exec::run(major, &command),
    };
    result.unwrap_or_else(|error| {
        eprintln!("local-pg: {error}");
        ExitCode::FAILURE
    })
}

fn find() -> Result<ExitCode, Error> {
    let first = Installation::find()?;
    let others = Installation::all().filter(|other| *other != first);
    for found in std::iter::once(first.clone()).chain(others) {
        println!("{} {}", found.bin_dir().display(), found.version());
    }
    Ok(ExitCode::SUCCESS)
}
