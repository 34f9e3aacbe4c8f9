//! One private server: where it listens, how it starts, stops and stands still.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use local_process::{Afterwards, Log, Watchdog, poll, port};
use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions};

use crate::{Error, Installation};

/// A server without data starts and stops at once, unless the machine is very busy.
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What Redis and Valkey write when clients may come. That it stands in this server's own log says more than an answer
/// on the port, which could be another server's.
const READY: &str = "Ready to accept connections";

/// What they write, among other things, before they end because of their port.
const PORT_TAKEN: &str = "Address already in use";

/// A Redis or Valkey server on 127.0.0.1 that ends with this process.
///
/// Its methods block, for half a minute at most. Dropping it ends the server and removes its directory.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    /// Working directory and log; the watchdog removes it.
    dir: PathBuf,
    watchdog: Watchdog,
    settings: Vec<(String, String)>,
    port: u16,
}

impl Server {
    /// Starts a server of the first installation found, on a free port.
    pub fn start() -> Result<Self, Error> {
        Self::with(&[])
    }

    /// Starts a server with these configuration directives, such as `("requirepass", "secret")`.
    ///
    /// The address, the port and what would keep data cannot be changed.
    pub fn with(settings: &[(&str, &str)]) -> Result<Self, Error> {
        Self::of(&Installation::find()?, settings)
    }

    /// Starts a server of this installation.
    pub fn of(installation: &Installation, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let parent = std::env::temp_dir();
        let dir = tempfile::Builder::new()
            .prefix("taskrow-redis-")
            .tempdir_in(&parent)
            .map_err(Error::io("create a directory in", &parent))?;
        // Nothing is kept, so nothing needs time to end; and a kill reaches a paused server too.
        let watchdog = Watchdog::new(Signal::KILL, &Afterwards::Remove(dir.path().to_owned()))
            .map_err(Error::io("run", Path::new("/bin/sh")))?;
        // The watchdog removes it from here on.
        let dir = dir.keep();
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut server = Self { installation: installation.clone(), dir, watchdog, settings, port: 0 };
        server.start_on_any_port()?;
        Ok(server)
    }

    fn start_on_any_port(&mut self) -> Result<(), Error> {
        for port in port::free() {
            self.port = port;
            match self.start_again() {
                Err(Error::PortTaken(_)) => {}
                result => return result,
            }
        }
        Err(Error::PortTaken(self.port))
    }

    /// Starts the server after [`stop`](Self::stop) or [`kill`](Self::kill), on the same port and empty, and waits until
    /// it accepts connections. Does nothing when it runs.
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.watchdog.ended().map_err(Error::io("wait for", self.installation.program()))?;
        if self.pid().is_some() {
            return Ok(());
        }
        let log = Log::new(self.dir.join("log"));
        let before = log.length();
        self.spawn(&log)?;
        let deadline = Instant::now() + START_LIMIT;
        let ended = poll::until(deadline, || match self.watchdog.ended()? {
            Some(status) => Ok(Some(Some(status))),
            None => Ok(log.tail(before).contains(READY).then_some(None)),
        })
        .map_err(Error::io("wait for", self.installation.program()))?;

        let what = match ended {
            Some(None) => return Ok(()),
            Some(Some(status)) => format!("did not start ({status})"),
            None => "is not ready in time".to_owned(),
        };
        let log = log.tail(before);
        // Too slow, perhaps: then it still runs.
        self.kill()?;
        if log.contains(PORT_TAKEN) {
            return Err(Error::PortTaken(self.port));
        }
        Err(Error::NotStarted { product: self.installation.product(), what, log })
    }

    fn spawn(&mut self, log: &Log) -> Result<(), Error> {
        let (out, err) = log.open().map_err(Error::io("open", log.path()))?;
        let program = self.installation.program();
        let settings = all_settings(&self.settings, self.port);
        self.watchdog
            .spawn(program, |command| {
                for (name, value) in settings {
                    command.arg(format!("--{name}")).arg(value);
                }
                command.current_dir(&self.dir).env("LC_ALL", "C").stdout(Stdio::from(out)).stderr(Stdio::from(err))
            })
            .map_err(Error::io("run", program))
    }

    /// Ends the server in order (SIGTERM), paused or not, and waits for its end. Does nothing when it does not run.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.resume()?;
        self.end(Signal::TERM)
    }

    /// Kills the server (SIGKILL), as a crash would, and waits for its end. Does nothing when it does not run.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.end(Signal::KILL)
    }

    /// Makes the server stand still (SIGSTOP), and waits until it does: connections stay open and the system accepts new
    /// ones for it, but nothing is answered.
    pub fn pause(&self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.signal(Signal::STOP)?;
        let stopped = poll::until(Instant::now() + STOP_LIMIT, || is_stopped(pid))
            .map_err(Error::io("wait for", self.installation.program()))?;
        stopped.ok_or(Error::NotStopped { pid, limit: STOP_LIMIT })
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    fn end(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.signal(signal)?;
        let ended = poll::until(Instant::now() + STOP_LIMIT, || self.watchdog.ended())
            .map_err(Error::io("wait for", self.installation.program()))?;
        ended.map(drop).ok_or(Error::NotStopped { pid, limit: STOP_LIMIT })
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.watchdog.signal(signal).map_err(Error::io("signal", self.installation.program()))
    }

    /// Where a client connects: `127.0.0.1:port`. It stays the same while this value lives.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The server's process id; `None` between an end and a start.
    pub fn pid(&self) -> Option<u32> {
        self.watchdog.pid()
    }

    /// The program it runs.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The last lines of the server's log.
    pub fn log(&self) -> String {
        Log::new(self.dir.join("log")).tail(0)
    }
}

/// Whether a child of this process stands still. Asking changes nothing, so the answer lasts until it goes on.
fn is_stopped(pid: u32) -> io::Result<Option<()>> {
    let Some(pid) = pid.try_into().ok().and_then(Pid::from_raw) else { return Ok(None) };
    let how = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(process::waitid(WaitId::Pid(pid), how)?.map(drop))
}

/// Later ones win, so what must hold comes last.
fn all_settings(chosen: &[(String, String)], port: u16) -> Vec<(&str, String)> {
    let fixed = [
        ("bind", Ipv4Addr::LOCALHOST.to_string()),
        ("port", port.to_string()),
        ("save", String::new()),
        ("appendonly", "no".to_owned()),
        ("daemonize", "no".to_owned()),
        // To standard output, with the lines that a start waits for.
        ("logfile", String::new()),
        ("loglevel", "notice".to_owned()),
    ];
    chosen.iter().map(|(name, value)| (name.as_str(), value.clone())).chain(fixed).collect()
}
