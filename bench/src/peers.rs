//! Other queues, each behind an adapter of `bench/peers`.

use std::process::Command;

use serde_json::Value;
use service::exit::Failure;
use tokio::task::block_in_place;

use crate::server::OwnDatabase;

/// Those with an adapter.
pub(crate) const NAMES: [&str; 5] = ["graphile-worker", "pg-boss", "pgqueuer", "awa", "graphile_worker"];

/// A peer in a database of its own.
pub(crate) struct Peer {
    name: String,
    database: OwnDatabase,
}

impl Peer {
    /// Makes the peer's tables.
    pub(crate) fn prepare(name: &str, database: OwnDatabase) -> Result<Self, Failure> {
        let peer = Self { name: name.to_owned(), database };
        peer.run("prepare", &[])?;
        Ok(peer)
    }

    /// Where its database is.
    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// Runs one command of the adapter and returns its answer.
    pub(crate) fn run(&self, command: &str, arguments: &[usize]) -> Result<Value, Failure> {
        run(&self.name, self.url(), command, arguments)
    }

    /// Seconds that a command took, by the adapter's clock.
    pub(crate) fn seconds(&self, command: &str, arguments: &[usize]) -> Result<f64, Failure> {
        number(&self.run(command, arguments)?, "seconds")
    }

    /// Fills and drains; tasks per second of both. Exactly so many have run, and by the database nothing is open.
    pub(crate) fn fill_and_drain(&self, tasks: usize) -> Result<(f64, f64), Failure> {
        let done = |state: &Value| state["done"].as_u64();
        let before = done(&self.run("state", &[])?);
        let fill_s = self.seconds("fill", &[tasks])?;
        let drained = self.run("drain", &[tasks])?;
        let state = self.run("state", &[])?;
        let recorded = done(&state).zip(before).map(|(after, before)| after - before);
        let ran = drained["ran"].as_u64();
        let expected = Some(tasks as u64);
        if ran != expected || state["open"] != 0 || (done(&state).is_some() && recorded != expected) {
            return Err(Failure::software(format!("{}: of {tasks} tasks {drained}, then {state}", self.name)));
        }
        Ok((tasks as f64 / fill_s, tasks as f64 / number(&drained, "seconds")?))
    }
}

/// Version, settings, and whether a job's record is kept.
pub(crate) fn about(name: &str) -> Result<Value, Failure> {
    run(name, "", "about", &[])
}

/// One command of an adapter; `bench/peers/README.md` has them.
fn run(name: &str, url: &str, command: &str, arguments: &[usize]) -> Result<Value, Failure> {
    let mut program = Command::new("bench/peers/run");
    program.args([name, command]).args(arguments.iter().map(usize::to_string)).env("DATABASE_URL", url);
    let output = block_in_place(|| program.output())
        .map_err(|error| Failure::usage(format!("cannot run bench/peers/run from here: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let reason = reason.trim().lines().last().unwrap_or("no reason given").to_owned();
        return Err(Failure::software(format!("{name} {command}: {reason}")));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Failure::software(format!("{name} {command}: {error}")))
}

/// A number of an answer.
pub(crate) fn number(answer: &Value, name: &str) -> Result<f64, Failure> {
    answer[name].as_f64().ok_or_else(|| Failure::software(format!("no {name} in {answer}")))
}
