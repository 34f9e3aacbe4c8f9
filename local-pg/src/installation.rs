//! Where the Postgres server's programs are.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::account::Account;
use crate::home::SYSTEM_DIR;

/// The Postgres major versions this project runs on.
pub const MAJORS: RangeInclusive<u32> = 14..=18;

/// The programs of one Postgres server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    bin_dir: PathBuf,
    version: String,
    major: u32,
}

impl Installation {
    /// The first usable installation, in this order: `TASKROW_PG_BIN` (then nothing else is tried), `PATH`, the places
    /// distributions use, what `dev/setup.sh` fetched into the project.
    pub fn find() -> Result<Self, Error> {
        if let Some(dir) = bin_dir_setting() {
            return fs::canonicalize(&dir).ok().and_then(|dir| Self::at(&dir)).ok_or(Error::BadBinDir(dir));
        }
        Self::all().next().ok_or(Error::NotFound)
    }

    /// The first installation of one major version, in the order of [`find`](Self::find), `TASKROW_PG_BIN` being no
    /// more than the first place to look.
    pub fn find_major(major: u32) -> Result<Self, Error> {
        Self::all().find(|found| found.major == major).ok_or(Error::MajorNotFound(major))
    }

    /// Every usable installation, best first.
    pub fn all() -> impl Iterator<Item = Self> {
        let mut seen = HashSet::new();
        bin_dir_setting()
            .into_iter()
            .chain(on_path())
            .chain(of_distributions())
            .chain(of_project())
            .filter_map(|dir| fs::canonicalize(dir).ok())
            .filter(move |dir| seen.insert(dir.clone()))
            .filter_map(|dir| Self::at(&dir))
    }

    /// The installation in one directory, if its programs are there, run, and have a version of [`MAJORS`].
    fn at(dir: &Path) -> Option<Self> {
        if !dir.join("initdb").is_file() {
            return None;
        }
        // As the server's account: programs that it cannot read are of no use.
        let output = Account::for_servers()
            .ok()?
            .command(dir.join("postgres"), Path::new("/"))
            .arg("--version")
            .output()
            .ok()?;
        let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        let major = major_of(&version)?;
        MAJORS.contains(&major).then(|| Self { bin_dir: dir.to_owned(), version, major })
    }

    /// The directory that holds `initdb` and `postgres`.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The major version, such as 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The whole version, such as `15.14`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[expect(clippy::disallowed_methods, reason = "local tool, reads its own setting")]
fn bin_dir_setting() -> Option<PathBuf> {
    env::var_os("TASKROW_PG_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// Directories that hold the real `initdb` named on `PATH`: links are followed, a wrapper script leads nowhere. Last,
/// where `pg_config` says the programs are.
#[expect(clippy::disallowed_methods, reason = "local tool, searches PATH")]
fn on_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<_> = env::split_paths(&path)
        .filter_map(|dir| fs::canonicalize(dir.join("initdb")).ok()?.parent().map(Path::to_owned))
        .collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        dirs.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()));
    }
    dirs
}

/// Where Debian and Ubuntu, the PGDG packages for Red Hat, a source build, and Homebrew put them.
fn of_distributions() -> Vec<PathBuf> {
    [
        matching("/usr/lib/postgresql", "", "bin"),
        matching("/usr", "pgsql-", "bin"),
        vec![PathBuf::from("/usr/local/pgsql/bin")],
        matching("/opt/homebrew/opt", "postgresql", "bin"),
        matching("/usr/local/opt", "postgresql", "bin"),
    ]
    .concat()
}

/// What `dev/setup.sh` fetched: into the project that the process works in or was built in or, for root's projects that
/// nobody else can enter, beside their data.
fn of_project() -> Vec<PathBuf> {
    [env::current_dir(), env::current_exe()]
        .into_iter()
        .flatten()
        .filter_map(|start| start.ancestors().map(|dir| dir.join(".taskrow")).find(|dir| dir.is_dir()))
        .chain([PathBuf::from(SYSTEM_DIR)])
        .flat_map(|dir| matching(dir.join("postgres/node_modules"), "pg", "native/bin"))
        .collect()
}

/// The directories `parent/prefix*/child`, highest version first.
fn matching(parent: impl AsRef<Path>, prefix: &str, child: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@').parse().unwrap_or(0_u32);
            Some((version, entry.path().join(child)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn parse_version(output: &str) -> Option<String> {
    let (_, rest) = output.split_once("(PostgreSQL) ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// The major version of `15.14`, `18beta1` or `17devel`.
fn major_of(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{major_of, parse_version};

    #[test]
    fn reads_versions() {
        let debian = parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n");
        assert_eq!(debian.as_deref(), Some("15.14"));
        assert_eq!(parse_version("postgres (PostgreSQL) 18.4\n").as_deref(), Some("18.4"));
        assert_eq!(parse_version("Usage: wrapper"), None);
        assert_eq!(major_of("15.14"), Some(15));
        assert_eq!(major_of("19beta1"), Some(19));
        assert_eq!(major_of("devel"), None);
    }
}
