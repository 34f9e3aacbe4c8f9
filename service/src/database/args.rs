//! Flags and environment that say where Postgres is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Database, SslMode,
    url::{Endpoint, holds_password, parse},
};
use crate::{command_line::refuse_secret, exit::Failure};

/// Where Postgres is. `DATABASE_URL` wins over its parts; the password is best given apart from it.
#[derive(Args, Clone)]
#[command(next_help_heading = "Postgres")]
pub struct DatabaseArgs {
    /// `postgresql://user@host:port/name`. Takes `sslmode` and `sslrootcert` as parameters. (As a flag it must not hold a password.)
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The same database without a transaction pooler in between: for LISTEN, the hot statements and migrations.
    #[arg(long, global = true, env = "DATABASE_DIRECT_URL", hide_env_values = true)]
    pub database_direct_url: Option<String>,
    /// Host, when there is no URL.
    #[arg(long, global = true, env = "DATABASE_HOST", default_value = "localhost")]
    pub database_host: String,
    /// Port, when there is no URL.
    #[arg(long, global = true, env = "DATABASE_PORT", default_value_t = 5432)]
    pub database_port: u16,
    /// Database name, when there is no URL.
    #[arg(long, global = true, env = "DATABASE_NAME", default_value = "app")]
    pub database_name: String,
    /// User, when there is no URL.
    #[arg(long, global = true, env = "DATABASE_USER", default_value = "app")]
    pub database_user: String,
    /// User. Wins over the one in the URLs: processes with the same URL log in as different roles.
    #[arg(long, global = true, env = "POSTGRES_USER")]
    pub postgres_user: Option<String>,
    /// File that holds the password (any characters; one trailing newline is cut). The password itself is read from
    /// the environment variable POSTGRES_PASSWORD only, never from a flag. Either wins over a password in the URL.
    #[arg(long, global = true, env = "POSTGRES_PASSWORD_FILE")]
    pub postgres_password_file: Option<PathBuf>,
    /// Encryption, for a URL that does not say it.
    #[arg(long, global = true, env = "DATABASE_SSLMODE", value_enum)]
    pub database_sslmode: Option<SslMode>,
    /// PEM file with the certificate authorities to trust; the system's own when absent.
    #[arg(long, global = true, env = "DATABASE_CA_FILE")]
    pub database_ca_file: Option<PathBuf>,
}

impl DatabaseArgs {
    /// Checks the configuration without connecting. `application` is the process' name in `pg_stat_activity`.
    pub fn database(&self, application: &'static str) -> Result<Database, Failure> {
        let password = self.password()?;
        for (variable, url) in
            [("DATABASE_URL", &self.database_url), ("DATABASE_DIRECT_URL", &self.database_direct_url)]
        {
            if let Some(url) = url.as_deref().filter(|url| holds_password(url)) {
                refuse_secret(variable, url)?;
            }
        }
        let user = self.postgres_user.as_deref();
        let endpoint = match &self.database_url {
            Some(url) => parse("DATABASE_URL", url, user, password.as_deref())?,
            None => self.endpoint_of_parts(password.as_deref()),
        };
        let (mode, ca_file) = (self.database_sslmode, self.database_ca_file.as_deref());
        let pooled = endpoint.target(mode, ca_file)?;
        let direct = match &self.database_direct_url {
            Some(url) => Some(parse("DATABASE_DIRECT_URL", url, user, password.as_deref())?.target(mode, ca_file)?),
            None => None,
        };
        Ok(Database { pooled, direct, application })
    }

    fn endpoint_of_parts(&self, password: Option<&str>) -> Endpoint {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.database_host)
            .port(self.database_port)
            .dbname(&self.database_name)
            .user(self.postgres_user.as_ref().unwrap_or(&self.database_user));
        if let Some(password) = password {
            config.password(password);
        }
        Endpoint { config, ssl_mode: None, ca_file: None }
    }

    fn password(&self) -> Result<Option<String>, Failure> {
        #[expect(clippy::disallowed_methods, reason = "a password must not be a flag: flags show in `ps`")]
        let from_environment = std::env::var("POSTGRES_PASSWORD").ok().filter(|password| !password.is_empty());
        match (&self.postgres_password_file, from_environment) {
            (Some(path), _) => read_password("POSTGRES_PASSWORD_FILE", path).map(Some),
            (None, password) => Ok(password),
        }
    }
}

/// Reads a password from a file: any characters, one trailing newline is cut. `variable` is the one to blame.
pub fn read_password(variable: &str, path: &Path) -> Result<String, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::usage(format!("{variable} {}: {error}", path.display())))?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

impl std::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseArgs").finish_non_exhaustive()
    }
}
