//! A private PgBouncer in transaction mode: what stands between clients and a server in many installations.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use local_process::{Afterwards, Log, Watchdog, poll, port};
use rustix::process::Signal;

use crate::{Error, account::Account, home::SYSTEM_DIR};

/// It has no data, and starts at once unless the machine is very busy.
const LIMIT: Duration = Duration::from_secs(30);
/// What it writes when clients may come.
const READY: &str = "process up";
/// Where distributions put it.
const PLACES: [&str; 4] =
    ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];
/// Where dev/setup.sh unpacks Debian's packages, in the project or, when that is closed to the server's account, beside its Postgres; and where
/// libraries are in them, by processor.
const UNPACKED: &str = ".taskrow/debian";
const UNPACKED_OUTSIDE: &str = "debian";
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];

/// A PgBouncer on 127.0.0.1 that ends with this process.
///
/// Its methods block, for half a minute at most. Dropping it ends it and removes its directory.
#[derive(Debug)]
pub struct Pooler {
    program: PathBuf,
    /// Of an unpacked one.
    libraries: Option<PathBuf>,
    account: Account,
    dir: PathBuf,
    watchdog: Watchdog,
    port: u16,
}

impl Pooler {
    /// Starts one in front of every database of the server at `host:port`, for these users and their passwords.
    pub fn before(server: &str, users: &[(&str, &str)]) -> Result<Self, Error> {
        let (program, libraries) = find()?;
        let account = Account::for_servers()?;
        let parent = std::env::temp_dir();
        let dir = tempfile::Builder::new().prefix("taskrow-pgbouncer-").tempdir_in(&parent);
        let dir = dir.map_err(Error::io("create a directory in", &parent))?;
        // No client's work is worth waiting for.
        let watchdog = Watchdog::new(Signal::KILL, &Afterwards::Remove(dir.path().to_owned()));
        let watchdog = watchdog.map_err(Error::io("run", Path::new("/bin/sh")))?;
        // The watchdog removes it from here on.
        let mut pooler = Self { program, libraries, account, dir: dir.keep(), watchdog, port: 0 };
        pooler.account.give(&pooler.dir)?;
        let list: String = users.iter().map(|(user, password)| format!("\"{user}\" \"{password}\"\n")).collect();
        pooler.write("users", &list)?;
        for port in port::free() {
            pooler.port = port;
            pooler.write("pgbouncer.ini", &configuration(server, port, &pooler.dir.join("users")))?;
            pooler.start_again()?;
            if pooler.pid().is_some() {
                return Ok(pooler);
            }
        }
        Err(Error::PortTaken(pooler.port))
    }

    /// Starts it after [`kill`](Self::kill), on the same port. Does nothing when it runs.
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.watchdog.ended().map_err(Error::io("wait for", &self.program))?;
        if self.pid().is_some() {
            return Ok(());
        }
        let log = Log::new(self.dir.join("log"));
        let before = log.length();
        let (out, err) = log.open().map_err(Error::io("open", log.path()))?;
        let Self { program, libraries, account, dir, watchdog, .. } = self;
        watchdog
            .spawn(program, |command| {
                command.arg(dir.join("pgbouncer.ini")).stdout(Stdio::from(out)).stderr(Stdio::from(err));
                if let Some(libraries) = libraries {
                    command.env("LD_LIBRARY_PATH", libraries);
                }
                account.configure(command, dir)
            })
            .map_err(Error::io("run", program))?;
        let started = poll::until(Instant::now() + LIMIT, || {
            let has_ended = self.watchdog.ended()?.is_some();
            Ok((has_ended || log.tail(before).contains(READY)).then_some(()))
        });
        started.map_err(Error::io("wait for", &self.program))?;
        let log = log.tail(before);
        let is_taken = log.contains("in use");
        if self.pid().is_some() && log.contains(READY) || is_taken {
            return Ok(());
        }
        Err(Error::NotStarted { what: "has no PgBouncer before it".to_owned(), log })
    }

    /// Kills it (SIGKILL), and waits for its end. Does nothing when it does not run.
    pub fn kill(&mut self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.watchdog.signal(Signal::KILL).map_err(Error::io("signal", &self.program))?;
        let ended = poll::until(Instant::now() + LIMIT, || self.watchdog.ended());
        let ended = ended.map_err(Error::io("wait for", &self.program))?;
        ended.map(drop).ok_or(Error::NotStopped { pid, limit: LIMIT })
    }

    /// Where clients connect: `127.0.0.1:port`. It stays the same while this value lives.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        Log::new(self.dir.join("log")).tail(0)
    }

    fn pid(&self) -> Option<u32> {
        self.watchdog.pid()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        fs::write(&path, text).map_err(Error::io("write", &path))?;
        self.account.give(&path)
    }
}

fn configuration(server: &str, port: u16, users: &Path) -> String {
    let (host, server_port) = server.rsplit_once(':').unwrap_or((server, "5432"));
    format!(
        "[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {}
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
server_connect_timeout = 5
server_login_retry = 1
query_wait_timeout = 10
",
        users.display()
    )
}

fn find() -> Result<(PathBuf, Option<PathBuf>), Error> {
    if let Some(program) = PLACES.iter().map(PathBuf::from).find(|path| path.is_file()) {
        return Ok((program, None));
    }
    let places = [std::env::current_dir(), std::env::current_exe()].into_iter().flatten();
    let inside = places.flat_map(|place| place.ancestors().map(|root| root.join(UNPACKED)).collect::<Vec<_>>());
    let mut roots = inside.chain([Path::new(SYSTEM_DIR).join(UNPACKED_OUTSIDE)]);
    let root = roots.find(|root| root.join("usr/sbin/pgbouncer").is_file()).ok_or(Error::NoPooler)?;
    let libraries = LIBRARIES.iter().map(|place| root.join(place)).find(|path| path.is_dir());
    Ok((root.join("usr/sbin/pgbouncer"), libraries))
}
