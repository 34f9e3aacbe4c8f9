//! The directory of one server: its data, and beside them what this crate remembers about it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use local_process::Log;

use crate::account::Account;
use crate::{Error, random};

/// Stands in for a project's own directory when that is closed to the server's account.
pub(crate) const SYSTEM_DIR: &str = "/var/lib/taskrow";

/// Paths below one directory, and what is in those files.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    /// Opens or makes the directory. A new one belongs to `account` and is closed to everybody else; an existing one is
    /// taken as it is.
    pub(crate) fn open(dir: PathBuf, account: &Account) -> Result<Self, Error> {
        if !dir.is_dir() {
            if let Some(parent) = dir.parent() {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            fs::DirBuilder::new().mode(0o700).create(&dir).map_err(Error::io("create", &dir))?;
            account.give(&dir)?;
        }
        Ok(Self { dir })
    }

    /// Takes over a directory made for this purpose.
    pub(crate) fn adopt(dir: PathBuf, account: &Account) -> Result<Self, Error> {
        account.give(&dir)?;
        Ok(Self { dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn log(&self) -> Log {
        Log::new(self.dir.join("log"))
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    /// The superuser's password, generated when there is none yet. Only the server's account and root can read the file.
    pub(crate) fn password(&self, account: &Account) -> Result<String, Error> {
        let path = self.password_file();
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            return Ok(text.trim_end().to_owned());
        }
        let password = random::hex::<16>()?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{password}"))
            .map_err(Error::io("write", &path))?;
        account.give(&path)?;
        Ok(password)
    }

    /// The port of the last run, if one was remembered.
    pub(crate) fn port(&self) -> Option<u16> {
        fs::read_to_string(self.dir.join("port")).ok()?.trim_end().parse().ok()
    }

    pub(crate) fn remember_port(&self, port: u16) -> Result<(), Error> {
        let path = self.dir.join("port");
        fs::write(&path, format!("{port}\n")).map_err(Error::io("write", &path))
    }
}

/// The directory that durable data wanted in `wanted` really go to: there or, when `account` cannot get there (a
/// project in root's home), a directory of the system's that is named after it.
pub(crate) fn place(wanted: &Path, account: &Account) -> Result<PathBuf, Error> {
    let wanted = std::path::absolute(wanted).map_err(Error::io("find", wanted))?;
    let existing = wanted.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    if account.can_enter(existing).map_err(Error::io("look into", existing))? {
        return Ok(wanted);
    }
    let name = wanted.file_name().unwrap_or_default().to_string_lossy();
    let hash = fnv1a(wanted.as_os_str().as_encoded_bytes());
    Ok(Path::new(SYSTEM_DIR).join(format!("{name}-{hash:016x}")))
}

/// FNV-1a: the name must be the same in every build, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
