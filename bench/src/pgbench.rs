//! Postgres' own load tool, as the measure of what one statement per transaction costs on this machine.

use std::{io::Write, process::Command, time::Duration};

use service::exit::Failure;
use tokio::task::block_in_place;

use crate::server::postgres_program;

/// Runs a script over so many connections for so long, prepared. Transactions per second.
pub(crate) fn transactions_per_s(url: &str, script: &str, clients: usize, time: Duration) -> Result<f64, Failure> {
    let program = postgres_program("pgbench")?;
    let mut file = tempfile::NamedTempFile::new().map_err(Failure::software)?;
    file.write_all(script.as_bytes()).map_err(Failure::software)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(clients);
    let mut command = Command::new(program);
    command.args(["--no-vacuum", "--protocol=prepared"]);
    command.arg(format!("--client={clients}")).arg(format!("--jobs={threads}"));
    command.arg(format!("--time={}", time.as_secs().max(1))).arg("--file").arg(file.path()).arg(url);
    let output = block_in_place(|| command.output()).map_err(Failure::software)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    rate.filter(|_| output.status.success())
        .ok_or_else(|| Failure::software(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// The best of several numbers of clients.
pub(crate) fn best_per_s(url: &str, script: &str, clients: &[usize], time: Duration) -> Result<f64, Failure> {
    clients.iter().try_fold(0.0, |best: f64, clients| Ok(best.max(transactions_per_s(url, script, *clients, time)?)))
}
