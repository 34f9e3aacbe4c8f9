//! Where the server's program is, what it is, and its version.

use std::collections::HashSet;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// The lowest version that will do, as major and minor. Valkey began with 7.2.
const LOWEST: (u32, u32) = (7, 0);

/// The programs, in the order in which one place is searched for them.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Where distributions, source builds and Homebrew put programs, in case `PATH` does not say.
const USUAL_DIRS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin"];

/// Who made the server. Both speak the same protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// Redis.
    Redis,
    /// Valkey, which continues Redis 7.2.
    Valkey,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
        })
    }
}

/// The program of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    program: PathBuf,
    product: Product,
    version: String,
}

impl Installation {
    /// The first usable installation, in this order: `TASKROW_REDIS_BIN` (then nothing else is tried), `PATH`, the
    /// places distributions use, what `dev/setup.sh` fetched into the project.
    pub fn find() -> Result<Self, Error> {
        if let Some(program) = program_setting() {
            return Self::at(&program).ok_or(Error::BadProgram(program))?.or_too_old();
        }
        if let Some(found) = Self::all().next() {
            return Ok(found);
        }
        Self::of_any_age().next().ok_or(Error::NotFound)?.or_too_old()
    }

    /// The first installation of one product, in the order of [`find`](Self::find), `TASKROW_REDIS_BIN` being no more
    /// than the first place to look.
    pub fn find_product(product: Product) -> Result<Self, Error> {
        Self::all().find(|found| found.product == product).ok_or(Error::ProductNotFound(product))
    }

    /// Every usable installation, best first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::of_any_age().filter(Self::is_usable)
    }

    fn of_any_age() -> impl Iterator<Item = Self> {
        let mut seen = HashSet::new();
        program_setting()
            .into_iter()
            .chain(dirs().into_iter().flat_map(|dir| PROGRAMS.map(|name| dir.join(name))))
            .filter(move |program| fs::canonicalize(program).is_ok_and(|file| seen.insert(file)))
            .filter_map(|program| Self::at(&program))
    }

    /// The installation whose program that is, if it runs and says so.
    ///
    /// The path is used as it is, links not followed: Debian's redis-server is a link to its redis-check-rdb, one file
    /// that behaves as it is called.
    fn at(program: &Path) -> Option<Self> {
        // The server works in another directory.
        let program = std::path::absolute(program).ok()?;
        let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output().ok()?;
        let (product, version) = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { program, product, version })
    }

    fn is_usable(&self) -> bool {
        major_and_minor(&self.version).is_some_and(|version| version >= LOWEST)
    }

    fn or_too_old(self) -> Result<Self, Error> {
        if self.is_usable() {
            return Ok(self);
        }
        let Self { program, product, version } = self;
        Err(Error::TooOld { program, product, version })
    }

    /// The server's program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Redis or Valkey.
    pub fn product(&self) -> Product {
        self.product
    }

    /// The whole version, such as `7.0.15`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[expect(clippy::disallowed_methods, reason = "local tool, reads its own setting")]
fn program_setting() -> Option<PathBuf> {
    env::var_os("TASKROW_REDIS_BIN").filter(|program| !program.is_empty()).map(PathBuf::from)
}

/// The directories of `PATH`, the usual ones, and where `dev/setup.sh` put links into the project that the process works
/// in or was built in.
#[expect(clippy::disallowed_methods, reason = "local tool, searches PATH")]
fn dirs() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let of_project = [env::current_dir(), env::current_exe()]
        .into_iter()
        .flatten()
        .filter_map(|start| start.ancestors().map(|dir| dir.join(".taskrow/redis")).find(|dir| dir.is_dir()));
    env::split_paths(&path).chain(USUAL_DIRS.map(PathBuf::from)).chain(of_project).collect()
}

/// The product and version in `Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=3f5`.
fn parse_version(output: &str) -> Option<(Product, String)> {
    let (name, rest) = output.split_once(" server v=")?;
    let product = match name {
        "Redis" => Product::Redis,
        "Valkey" => Product::Valkey,
        _ => return None,
    };
    Some((product, rest.split_whitespace().next()?.to_owned()))
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Installation, Product, parse_version};

    #[test]
    fn reads_products_and_versions() {
        for (output, expected) in [
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", Some((Product::Redis, "7.0.15"))),
            ("Valkey server v=8.1.8 sha=00000000:1 malloc=libc bits=64\n", Some((Product::Valkey, "8.1.8"))),
            ("KeyDB server v=6.3.4 sha=0", None),
            ("Usage: wrapper", None),
        ] {
            assert_eq!(parse_version(output), expected.map(|(product, version)| (product, version.to_owned())));
        }
    }

    #[test]
    fn usable_from_7_0() {
        for (version, usable) in
            [("6.2.14", false), ("7.0.0", true), ("7.2-rc1", true), ("8.1.8", true), ("10.0.0", true), ("255", false)]
        {
            let program = PathBuf::from("/usr/bin/redis-server");
            let found = Installation { program, product: Product::Redis, version: version.to_owned() };
            assert_eq!(found.is_usable(), usable, "{version}");
            assert_eq!(found.or_too_old().is_ok(), usable, "{version}");
        }
    }
}
