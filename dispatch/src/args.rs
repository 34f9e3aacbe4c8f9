//! Flags and environment that choose the backend.

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use redis::ConnectionAddr;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use service::{command_line::refuse_secret, database::read_password, exit::Failure};

use crate::{Dispatch, address, link::Redis, metrics::Metrics};

/// How workers learn which tasks to claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// By `NOTIFY` and polling. Needs nothing but Postgres.
    #[default]
    Postgres,
    /// Through Redis streams. Postgres stays the store.
    Redis,
}

/// The backend, and where Redis is. Passwords come from the environment or a file: flags show in `ps`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Queue backend")]
pub struct DispatchArgs {
    /// How workers learn which tasks to claim.
    #[arg(long, env = "QUEUE_BACKEND", value_enum, default_value_t)]
    pub queue_backend: Backend,
    /// Where Redis is: `host:port`, or a URL `redis://host:port/db`, encrypted `rediss://`. Only with backend `redis`. (A URL may hold a password;
    /// `REDIS_PASSWORD` or the file are better places.)
    #[arg(long, env = "REDIS_ADDR", hide_env_values = true)]
    pub redis_addr: Option<String>,
    /// User at Redis; none: its default user.
    #[arg(long, env = "REDIS_USERNAME")]
    pub redis_username: Option<String>,
    /// File that holds the password for Redis. It wins over `REDIS_PASSWORD`, and both over the URL's.
    #[arg(long, env = "REDIS_PASSWORD_FILE")]
    pub redis_password_file: Option<PathBuf>,
    /// File with the certificates (PEM) that `rediss://` trusts; none: those of the system.
    #[arg(long, env = "REDIS_CA_FILE")]
    pub redis_ca_file: Option<PathBuf>,
}

impl DispatchArgs {
    /// Checks the settings. Nothing is connected yet.
    pub fn dispatch(&self) -> Result<Dispatch, Failure> {
        let redis = match self.queue_backend {
            Backend::Postgres => None,
            Backend::Redis => Some(self.redis()?),
        };
        Ok(Dispatch { redis, metrics: Metrics::default() })
    }

    fn redis(&self) -> Result<Redis, Failure> {
        let address = self.redis_addr.as_deref().filter(|address| !address.is_empty());
        let address = address.ok_or_else(|| Failure::usage("QUEUE_BACKEND=redis needs REDIS_ADDR"))?;
        let mut info = address::parse(address)?;
        if info.redis_settings().password().is_some() {
            refuse_secret("REDIS_ADDR", address)?;
        }
        let mut settings = info.redis_settings().clone();
        if let Some(username) = self.redis_username.as_ref().filter(|username| !username.is_empty()) {
            settings = settings.set_username(username);
        }
        if let Some(password) = self.password()? {
            settings = settings.set_password(password);
        }
        info = info.set_redis_settings(settings);
        let is_encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        Redis::new(info, self.authorities(is_encrypted)?)
    }

    fn authorities(&self, is_encrypted: bool) -> Result<Option<Vec<u8>>, Failure> {
        let Some(path) = &self.redis_ca_file else { return Ok(None) };
        if !is_encrypted {
            return Err(Failure::usage("REDIS_CA_FILE is checked with rediss:// only"));
        }
        let blame = |reason: String| Failure::usage(format!("REDIS_CA_FILE {}: {reason}", path.display()));
        let text = fs::read(path).map_err(|error| blame(error.to_string()))?;
        // The client would take anything, and then trust nobody.
        match CertificateDer::pem_slice_iter(&text).next() {
            Some(Ok(_)) => Ok(Some(text)),
            Some(Err(error)) => Err(blame(error.to_string())),
            None => Err(blame("holds no certificate".to_owned())),
        }
    }

    fn password(&self) -> Result<Option<String>, Failure> {
        if let Some(path) = &self.redis_password_file {
            return read_password("REDIS_PASSWORD_FILE", path).map(Some);
        }
        #[expect(clippy::disallowed_methods, reason = "a password must not be a flag: flags show in `ps`")]
        let from_environment = std::env::var("REDIS_PASSWORD").ok();
        Ok(from_environment.filter(|password| !password.is_empty()))
    }
}
