//! The operating-system account that the server's programs run as.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;

/// Tried in this order when the process is root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Who runs the server: the caller itself or, when that is root, an unprivileged user.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// `None`: nothing changes, the caller is an ordinary user.
    switch_to: Option<User>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account for servers started by this process.
    pub(crate) fn for_servers() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { switch_to: None });
        }
        let passwd = Path::new("/etc/passwd");
        let users = fs::read_to_string(passwd).map_err(Error::io("read", passwd))?;
        let user = UNPRIVILEGED.iter().find_map(|name| find_user(&users, name));
        Ok(Self { switch_to: Some(user.ok_or(Error::NoAccount)?) })
    }

    /// The name to speak of, `None` when it is the caller.
    pub(crate) fn switched_name(&self) -> Option<&str> {
        self.switch_to.as_ref().map(|user| user.name.as_str())
    }

    /// A command run as this account, working in `dir`.
    pub(crate) fn command(&self, program: impl AsRef<Path>, dir: &Path) -> Command {
        let mut command = Command::new(program.as_ref());
        self.configure(&mut command, dir).stdin(Stdio::null());
        command
    }

    /// Makes `command` run as this account, working in `dir`, with none of the caller's Postgres or language settings.
    pub(crate) fn configure<'a>(&self, command: &'a mut Command, dir: &Path) -> &'a mut Command {
        command.current_dir(dir).env("LC_ALL", "C");
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGTZ", "PGDATESTYLE"] {
            command.env_remove(name);
        }
        if let Some(user) = &self.switch_to {
            // std also drops root's supplementary groups.
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Gives a file or directory to this account.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        let Some(user) = &self.switch_to else { return Ok(()) };
        chown(path, Some(user.uid), Some(user.gid)).map_err(Error::io("change the owner of", path))
    }

    /// Whether this account can go into `dir`, all directories above it included.
    pub(crate) fn can_enter(&self, dir: &Path) -> io::Result<bool> {
        if self.switch_to.is_none() {
            return Ok(true);
        }
        let status = self
            .command("/bin/sh", Path::new("/"))
            .args(["-c", r#"cd -- "$1""#, "sh"])
            .arg(dir)
            .stderr(Stdio::null())
            .status()?;
        Ok(status.success())
    }
}

/// Looks `name` up in the text of a passwd file. Ids that are not plain numbers (macOS has negative ones) do not count.
fn find_user(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        Some(User { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::{User, find_user};

    #[test]
    fn finds_a_user_by_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7:::\npostgres:x:101:104:PostgreSQL:/var:/bin/sh\n";
        let user = User { name: "postgres".into(), uid: 101, gid: 104 };
        assert_eq!(find_user(passwd, "postgres"), Some(user));
        assert_eq!(find_user(passwd, "nobody"), None);
        assert_eq!(find_user("nobody:*:-2:-2:::\n", "nobody"), None);
    }
}
