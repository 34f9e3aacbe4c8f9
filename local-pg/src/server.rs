//! One private server: where it listens, who may enter, how it starts and stops.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use local_process::{Afterwards, Watchdog, poll, port};
use rustix::process::Signal;

use crate::account::Account;
use crate::home::{self, Home};
use crate::initdb::{self, Purpose};
use crate::postmaster::{self, Refusal, Start};
use crate::{Error, Installation, admin};

/// Crash recovery is part of a start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A shutdown checkpoint is part of a stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// For every server, unless its settings say otherwise.
const DEFAULTS: [(&str, &str); 2] = [("max_connections", "200"), ("shared_buffers", "128MB")];

/// Throw-away data need not survive a power cut.
const THROWAWAY_DEFAULTS: [(&str, &str); 2] = [("fsync", "off"), ("full_page_writes", "off")];

/// How a running server ends, in Postgres' own terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for the clients to leave.
    Smart,
    /// Disconnects the clients and shuts down in order.
    Fast,
    /// Ends without a checkpoint; the next start recovers.
    Immediate,
}

impl StopMode {
    fn signal(self) -> Signal {
        match self {
            Self::Smart => Signal::TERM,
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }
}

/// A Postgres server on 127.0.0.1 that ends with this process.
///
/// Its methods block, for up to a minute. Dropping it stops the server; a throw-away server's directory is removed.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    account: Account,
    home: Home,
    watchdog: Watchdog,
    /// What the caller chose over the defaults.
    settings: Vec<(String, String)>,
    port: u16,
    password: String,
    note: Option<String>,
}

impl Server {
    /// Starts a server whose data stay in `dir`, made when new. Everything is synced to disk.
    ///
    /// Without a `port` it keeps the one of its last run, or picks another when that is taken. When the server's
    /// account cannot reach `dir`, the data are kept elsewhere, and [`note`](Self::note) says where.
    ///
    /// # Errors
    /// Among others [`Error::OtherMajor`], [`Error::AlreadyRunning`] and [`Error::PortTaken`].
    pub fn durable(installation: &Installation, dir: &Path, port: Option<u16>) -> Result<Self, Error> {
        let account = Account::for_servers()?;
        let place = home::place(dir, &account)?;
        let note = (std::path::absolute(dir).ok().as_ref() != Some(&place)).then(|| {
            let name = account.switched_name().unwrap_or_default();
            format!("user {name} cannot reach {}, so the data are kept in {}", dir.display(), place.display())
        });
        let home = Home::open(place, &account)?;
        let mut server = Self::new(installation, account, home, &Afterwards::Keep, Vec::new())?;
        server.note = note;
        server.initialize(Purpose::Keep)?;
        match port {
            Some(port) => {
                server.port = port;
                server.start()?;
            }
            None => {
                server.start_on_any_port(server.home.port())?;
                server.home.remember_port(server.port)?;
            }
        }
        Ok(server)
    }

    /// Starts a server with new data in the system's directory for temporary files.
    ///
    /// `settings` are configuration parameters. Without any, `fsync` is off and `max_connections` is 200; the address,
    /// port and socket cannot be changed.
    pub fn throwaway(installation: &Installation, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let account = Account::for_servers()?;
        let parent = temp_dir(&account)?;
        let dir = tempfile::Builder::new()
            .prefix("taskrow-pg-")
            .tempdir_in(&parent)
            .map_err(Error::io("create a directory in", &parent))?;
        let home = Home::adopt(dir.path().to_owned(), &account)?;
        let afterwards = Afterwards::Remove(dir.path().to_owned());
        let settings = THROWAWAY_DEFAULTS.iter().chain(settings).map(|&(name, value)| (name.into(), value.into()));
        let mut server = Self::new(installation, account, home, &afterwards, settings.collect())?;
        // The watchdog removes it from here on.
        let _ = dir.keep();
        server.initialize(Purpose::ThrowAway)?;
        server.start_on_any_port(None)?;
        Ok(server)
    }

    fn new(
        installation: &Installation,
        account: Account,
        home: Home,
        afterwards: &Afterwards,
        settings: Vec<(String, String)>,
    ) -> Result<Self, Error> {
        // Data that stay deserve a checkpoint; others may end as they are.
        let end = match afterwards {
            Afterwards::Keep => StopMode::Fast,
            Afterwards::Remove(_) => StopMode::Immediate,
        };
        let watchdog = Watchdog::new(end.signal(), afterwards).map_err(Error::io("run", Path::new("/bin/sh")))?;
        let password = home.password(&account)?;
        let installation = installation.clone();
        Ok(Self { installation, account, home, watchdog, settings, port: 0, password, note: None })
    }

    fn initialize(&mut self, purpose: Purpose) -> Result<(), Error> {
        initdb::ensure(&self.installation, &self.account, &self.home, &mut self.watchdog, purpose)
    }

    /// Starts on `preferred` or, when that is none or taken, on a port picked now.
    fn start_on_any_port(&mut self, preferred: Option<u16>) -> Result<(), Error> {
        for port in preferred.into_iter().chain(port::free()) {
            self.port = port;
            match self.start() {
                Err(Error::PortTaken(_)) => {}
                result => return result,
            }
        }
        Err(Error::PortTaken(self.port))
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill), with the same port and data, and
    /// waits until it accepts connections. Does nothing when it runs.
    pub fn start(&mut self) -> Result<(), Error> {
        self.watchdog.ended().map_err(Error::io("wait for", self.installation.bin_dir()))?;
        if self.pid().is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + START_LIMIT;
        let settings = self.all_settings();
        loop {
            let Self { installation, account, home, watchdog, .. } = self;
            return match postmaster::start(installation, account, home, watchdog, &settings, deadline)? {
                Start::Ready => Ok(()),
                // A killed postmaster's last processes go within moments; each try takes some.
                Start::Refused(Refusal::OldProcesses) if Instant::now() < deadline => continue,
                Start::Refused(refusal) => Err(self.refused(refusal)),
                Start::Failed(error) => {
                    // Too slow, perhaps: then it still runs.
                    let _ = self.stop(StopMode::Fast);
                    Err(error)
                }
            };
        }
    }

    /// Stops the server and waits for its end. Does nothing when it does not run.
    ///
    /// # Errors
    /// [`Error::NotStopped`] when it still runs after a minute, as after a smart stop with clients that stay.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), Error> {
        self.end(mode.signal())
    }

    /// Stops and starts the server. Its URL stays the same.
    pub fn restart(&mut self, mode: StopMode) -> Result<(), Error> {
        self.stop(mode)?;
        self.start()
    }

    /// Kills the postmaster (SIGKILL), as a crash would. Its other processes notice and end by themselves.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.end(Signal::KILL)
    }

    fn end(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.watchdog.signal(signal).map_err(Error::io("signal", self.installation.bin_dir()))?;
        let ended = poll::until(Instant::now() + STOP_LIMIT, || self.watchdog.ended())
            .map_err(Error::io("wait for", self.installation.bin_dir()))?;
        ended.map(drop).ok_or(Error::NotStopped { pid, limit: STOP_LIMIT })
    }

    /// Creates a database of that name unless there is one.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        let client = admin::connect(&self.base_url()).await?;
        if admin::has_database(&client, name).await? {
            return Ok(());
        }
        admin::create_database(&client, name, None).await
    }

    /// Where a client connects, as superuser: `postgresql://user:password@127.0.0.1:port/database`.
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.base_url())
    }

    /// The URL without a database.
    pub fn base_url(&self) -> String {
        format!("postgresql://{}:{}@{}:{}", initdb::USER, self.password, Ipv4Addr::LOCALHOST, self.port)
    }

    /// The TCP port on 127.0.0.1. It stays the same while this value lives.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process id; `None` between a stop and a start.
    pub fn pid(&self) -> Option<u32> {
        self.watchdog.pid()
    }

    /// The programs it runs on.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The data directory (`PGDATA`).
    pub fn data_dir(&self) -> PathBuf {
        self.home.data()
    }

    /// Something the user should be told about where the data are.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The last lines of the server's log.
    pub fn log(&self) -> String {
        self.home.log().tail(0)
    }

    /// Later ones win, so what must hold comes last.
    fn all_settings(&self) -> Vec<(String, String)> {
        let port = self.port.to_string();
        let fixed = [("listen_addresses", "127.0.0.1"), ("unix_socket_directories", ""), ("port", &port)];
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let mut all: Vec<_> = DEFAULTS.iter().map(own).collect();
        all.extend_from_slice(&self.settings);
        all.extend([("logging_collector", "off"), ("log_destination", "stderr")].iter().map(own));
        all.extend(fixed.iter().map(own));
        all
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let dir = self.data_dir();
        match refusal {
            Refusal::PortTaken => Error::PortTaken(self.port),
            Refusal::AlreadyRunning | Refusal::OldProcesses => {
                Error::AlreadyRunning { pid: postmaster::owner(&dir).unwrap_or_default(), dir }
            }
        }
    }
}

/// The directory for throw-away data: the system's, unless the server's account cannot enter it.
fn temp_dir(account: &Account) -> Result<PathBuf, Error> {
    let dir = std::env::temp_dir();
    let usable = account.can_enter(&dir).map_err(Error::io("look into", &dir))?;
    Ok(if usable { dir } else { PathBuf::from("/tmp") })
}
