//! A process under test: api or worker, killed, stopped, and started again. It ends with the harness.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use local_process::{Afterwards, Watchdog};
use rustix::process::Signal;
use service::exit::Failure;
use tokio::time::{self, Instant};

/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A program with its arguments and environment, and the process that runs it.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    watchdog: Watchdog,
}

impl Process {
    /// Names a program; nothing runs yet. Its output is appended to `<name>.log` in `dir`.
    pub fn new(name: &str, program: &Path, dir: &Path) -> Result<Self, Failure> {
        let watchdog = Watchdog::new(Signal::KILL, &Afterwards::Keep).map_err(Failure::software)?;
        Ok(Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            log: dir.join(format!("{name}.log")),
            watchdog,
        })
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable; it has no others but `PATH`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable for the next start.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.unset(name);
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Takes a variable away, for the next start.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(other, _)| other != name);
    }

    /// Runs another program from the next start on.
    pub fn replace(&mut self, program: &Path, arguments: &[&str]) {
        self.program = program.to_owned();
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// For people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self) -> Result<(), Failure> {
        if self.is_running()? {
            return Ok(());
        }
        let cannot = |error: io::Error| Failure::software(format!("{}: {error}", self.log.display()));
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(cannot)?;
        let both = log.try_clone().map_err(cannot)?;
        let Self { watchdog, program, arguments, environment, .. } = self;
        watchdog
            .spawn(program, |command| {
                command.args(arguments.iter()).env_clear().env("PATH", "/usr/bin:/bin");
                command.envs(environment.iter().map(|(name, value)| (name, value))).stdout(log).stderr(both)
            })
            .map_err(|error| Failure::software(format!("{}: {error}", program.display())))
    }

    /// Whether it runs, or stands still.
    pub fn is_running(&mut self) -> Result<bool, Failure> {
        self.watchdog.ended().map_err(Failure::software)?;
        Ok(self.watchdog.pid().is_some())
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.watchdog.pid()
    }

    /// Sends a signal, if it runs.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        self.watchdog.signal(signal).map_err(Failure::software)
    }

    /// Waits for its end; the exit code, if it has one. None: it still runs after `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<Option<Option<i32>>, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            if self.watchdog.pid().is_none() {
                return Ok(Some(None));
            }
            if let Some(status) = self.watchdog.ended().map_err(Failure::software)? {
                return Ok(Some(status.code()));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            time::sleep(LOOK).await;
        }
    }

    /// Kills it and waits for the end.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        self.signal(Signal::KILL)?;
        self.ended(Duration::from_secs(10)).await.map(drop)
    }
}
