//! The programs under test.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use service::exit::Failure;

use crate::process::Process;

/// Longest that a migration takes.
const LIMIT: Duration = Duration::from_secs(120);

/// Where they are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The HTTP API.
    pub api: PathBuf,
    /// The worker with the built-in kinds.
    pub worker: PathBuf,
    /// What migrates.
    pub migrate: PathBuf,
    /// This program, which is also a worker with the kind `probe`.
    pub chaos: PathBuf,
}

impl Binaries {
    /// Those that were built beside this program.
    pub fn beside_this() -> Result<Self, Failure> {
        let chaos = std::env::current_exe().map_err(Failure::software)?;
        Self::of(chaos.with_file_name(""), chaos)
    }

    /// Those in a directory.
    pub fn of(dir: PathBuf, chaos: PathBuf) -> Result<Self, Failure> {
        let find = |name: &str| {
            let path = dir.join(name);
            let missing =
                || Failure::usage(format!("{} is missing: cargo build -p api -p worker -p schema", path.display()));
            path.is_file().then(|| path.clone()).ok_or_else(missing)
        };
        Ok(Self { api: find("api")?, worker: find("worker")?, migrate: find("migrate")?, chaos })
    }

    /// Brings a database to the schema of this release; and gives rights to the roles of api and worker, if they have their own.
    pub async fn migrate(&self, url: &str, dir: &Path, roles: Option<(&str, &str)>) -> Result<(), Failure> {
        let mut process = Process::new("migrate", &self.migrate, dir)?.variable("DATABASE_URL", url);
        if let Some((api, worker)) = roles {
            process.set("MIGRATE_API_ROLE", api);
            process.set("MIGRATE_WORKER_ROLE", worker);
        }
        process.start()?;
        match process.ended(LIMIT).await? {
            Some(Some(0)) => Ok(()),
            ended => Err(Failure::software(format!("migrate: {ended:?}; its log is in {}", dir.display()))),
        }
    }
}
