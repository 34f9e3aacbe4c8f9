//! Flags and environment that name the roles.

use std::path::{Path, PathBuf};

use clap::Args;
use service::{database::read_password, exit::Failure};

use super::{Role, RoleName, Roles};

/// Roles for api and worker, which own nothing. Given their names, migrating makes them and keeps their rights what this release needs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Roles")]
pub struct RolesArgs {
    /// The api's role. Made if it is not there; without a password it is one that cannot log in, for users to be members of.
    #[arg(long, env = "MIGRATE_API_ROLE")]
    pub api_role: Option<RoleName>,
    /// File with the password to give to the api's role (one trailing newline is cut).
    #[arg(long, env = "MIGRATE_API_PASSWORD_FILE", requires = "api_role")]
    pub api_password_file: Option<PathBuf>,
    /// The workers' role, likewise.
    #[arg(long, env = "MIGRATE_WORKER_ROLE")]
    pub worker_role: Option<RoleName>,
    /// File with the password to give to the workers' role.
    #[arg(long, env = "MIGRATE_WORKER_PASSWORD_FILE", requires = "worker_role")]
    pub worker_password_file: Option<PathBuf>,
}

impl RolesArgs {
    /// Reads the password files.
    pub fn roles(&self) -> Result<Roles, Failure> {
        if self.api_role.is_some() && self.api_role == self.worker_role {
            return Err(Failure::usage("MIGRATE_API_ROLE and MIGRATE_WORKER_ROLE must differ"));
        }
        let api = role(self.api_role.as_ref(), "MIGRATE_API_PASSWORD_FILE", self.api_password_file.as_deref())?;
        let worker =
            role(self.worker_role.as_ref(), "MIGRATE_WORKER_PASSWORD_FILE", self.worker_password_file.as_deref())?;
        Ok(Roles { api, worker })
    }
}

fn role(name: Option<&RoleName>, variable: &str, file: Option<&Path>) -> Result<Option<Role>, Failure> {
    let Some(name) = name else { return Ok(None) };
    let password = file.map(|file| read_password(variable, file)).transpose()?;
    if password.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::usage(format!("{variable}: the file is empty")));
    }
    Ok(Some(Role { name: name.clone(), password }))
}
