//! Where Postgres is and how to talk to it.
//!
//! Environment: `DATABASE_URL`, or `DATABASE_HOST`, `DATABASE_PORT`, `DATABASE_NAME`, `DATABASE_USER`; `POSTGRES_USER`
//! for another user than the URL's; the password in `POSTGRES_PASSWORD` or in the file named by `POSTGRES_PASSWORD_FILE`; `DATABASE_SSLMODE`, `DATABASE_CA_FILE`;
//! `DATABASE_DIRECT_URL` when `DATABASE_URL` leads to a transaction pooler.
//!
//! Every connection has a connect timeout, TCP keepalives, a TCP user timeout, `statement_timeout`, `lock_timeout` and an
//! `application_name`; after a failover it refuses a server that is read-only.

mod args;
mod borrowed;
mod link;
mod tls;
mod url;

use std::time::Duration;

use diesel::connection::CacheSize;
use diesel_async::{
    AsyncConnection, AsyncPgConnection,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8},
};
use futures_util::FutureExt;
use tokio::time;
use tokio_postgres::config::TargetSessionAttrs;

use self::tls::Tls;
pub use self::{
    args::{DatabaseArgs, read_password},
    borrowed::in_one_transaction,
    link::{Link, LinkError},
    tls::SslMode,
};
use crate::exit::Failure;

/// A pool of connections for reads and rare writes. Hot paths own a [`Link`] instead.
pub type Pool = bb8::Pool<AsyncPgConnection>;

/// Longest wait for one connection to open, TLS and authentication included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged before the connection counts as dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
/// A silent peer is probed after this long, then every [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// A Postgres database that can be connected to. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    /// Possibly through a transaction pooler.
    pooled: Target,
    /// Without one; none: `pooled` is direct.
    direct: Option<Target>,
    application: &'static str,
}

/// One way to a database.
#[derive(Clone)]
struct Target {
    config: tokio_postgres::Config,
    tls: Tls,
}

/// What a connection is for, as its session settings.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Shown in `pg_stat_activity.application_name` after the process' name.
    pub purpose: &'static str,
    /// Settings sent when the connection opens, as `name=value`.
    pub settings: &'static [&'static str],
    /// `statement_timeout`; zero switches it off.
    pub statement_timeout: Duration,
    /// False: may go through a transaction pooler.
    pub direct: bool,
}

impl Session {
    /// Reads and rare writes.
    pub const POOL: Self =
        Self { purpose: "pool", settings: &[], statement_timeout: Duration::from_secs(10), direct: false };

    /// Another purpose with the same settings.
    pub const fn named(self, purpose: &'static str) -> Self {
        Self { purpose, ..self }
    }
}

/// Why a connection could not be opened. Never holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Postgres or the network refused; the text says why.
    #[error("{0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer within {CONNECT_TIMEOUT:?}")]
    TimedOut,
}

impl Database {
    /// The database behind a URL, without looking at the environment.
    pub fn from_url(url: &str, application: &'static str) -> Result<Self, Failure> {
        let endpoint = url::parse("database URL", url, None, None)?;
        Ok(Self { pooled: endpoint.target(None, None)?, direct: None, application })
    }

    /// The same database, with sessions that are not direct through the transaction pooler behind another URL.
    pub fn behind_pooler(self, url: &str) -> Result<Self, Failure> {
        let pooled = Self::from_url(url, self.application)?.pooled;
        Ok(Self { pooled, direct: Some(self.pooled), application: self.application })
    }

    /// Opens a connection.
    pub async fn connect(&self, session: Session) -> Result<AsyncPgConnection, ConnectError> {
        match time::timeout(CONNECT_TIMEOUT, self.open(session)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    /// A connection that opens when first used and again after it broke.
    pub fn link(&self, session: Session) -> Link {
        Link::new(self.clone(), session)
    }

    /// A pool of at most `size` connections, opened when needed; a checkout waits at most `patience`.
    pub fn pool(&self, size: u32, patience: Duration) -> Pool {
        let database = self.clone();
        let mut config = ManagerConfig::default();
        // No ping at checkout: a broken connection shows itself by its state or by the first error.
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let database = database.clone();
            async move {
                database
                    .connect(Session::POOL)
                    .await
                    .map_err(|error| diesel::ConnectionError::BadConnection(error.to_string()))
            }
            .boxed()
        });
        Pool::builder()
            .max_size(size)
            .min_idle(None)
            .connection_timeout(patience)
            .test_on_check_out(false)
            .build_unchecked(AsyncDieselConnectionManager::new_with_config("", config))
    }

    /// `host:port/name`, for logs.
    pub fn address(&self) -> String {
        let host = match self.pooled.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(name)) => name.clone(),
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = self.pooled.config.get_ports().first().unwrap_or(&5432);
        format!("{host}:{port}/{}", self.pooled.config.get_dbname().unwrap_or_default())
    }

    /// Whether connections of a session lead to a transaction pooler: then see [`in_one_transaction`].
    pub fn is_pooler(&self, session: Session) -> bool {
        self.direct.is_some() && !session.direct
    }

    async fn open(&self, session: Session) -> Result<AsyncPgConnection, ConnectError> {
        let is_pooler = self.is_pooler(session);
        let target = self.direct.as_ref().filter(|_| session.direct).unwrap_or(&self.pooled);
        let mut config = target.config.clone();
        config
            .application_name(format!("taskrow {} {}", self.application, session.purpose))
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        // A transaction pooler refuses start-up options; there the role's own settings hold, and those of each transaction.
        if !is_pooler {
            config.options(options(config.get_options(), session));
        }
        let mut connection = target.tls.connect(&config).await?;
        if is_pooler {
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        Ok(connection)
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("address", &self.address()).finish_non_exhaustive()
    }
}

fn options(given: Option<&str>, session: Session) -> String {
    let timeout = session.statement_timeout.as_millis();
    let mut options = given.map(|text| format!("{text} ")).unwrap_or_default();
    options.push_str(&format!(
        "-c statement_timeout={timeout} -c lock_timeout={timeout} -c idle_in_transaction_session_timeout=60000"
    ));
    for setting in session.settings {
        options.push_str(" -c ");
        options.push_str(setting);
    }
    options
}
