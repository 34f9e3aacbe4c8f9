//! Connections to Redis that mend themselves: [`service::database::Link`] for Redis.
//!
//! The client's own reconnecting manager keeps a connection to a server that a failover made a replica; this drops it after any error, and the
//! next one goes where the name leads by then.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, ConnectionInfo, RedisError, TlsCertificates,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2},
    streams::StreamAddOptions,
};
use service::exit::Failure;
use tokio::{sync::Notify, time};

use crate::streams::FIELD;

/// Longest wait for a connection, TLS and login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for the answer to commands that do not block.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// How long sent bytes may stay unacknowledged, and after which silence the peer is probed.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);

/// A Redis server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Redis {
    client: Client,
    suspicion: Arc<Notify>,
}

/// Why Redis did not do it. What it did is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// It refused, or the connection broke.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// No answer in time.
    #[error("no answer from Redis")]
    TimedOut,
}

impl LinkError {
    /// The connection had ended: its server may be there all the same.
    pub(crate) fn is_hang_up(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_connection_dropped())
    }
}

impl Redis {
    /// Prepares a client; connects nothing.
    pub(crate) fn new(info: ConnectionInfo, ca: Option<Vec<u8>>) -> Result<Self, Failure> {
        let keepalive = socket2::TcpKeepalive::new().with_time(TCP_TIMEOUT).with_interval(TCP_TIMEOUT / 2);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(TCP_TIMEOUT);
        let info = info.set_tcp_settings(tcp);
        let client = match ca {
            None => Client::open(info),
            Some(ca) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(ca) }),
        };
        let client = client.map_err(|error| Failure::usage(format!("REDIS_ADDR, REDIS_CA_FILE: {error}")))?;
        Ok(Self { client, suspicion: Arc::default() })
    }

    /// A connection that opens when first used and again after it broke.
    pub(crate) fn link(&self) -> Link {
        Link { redis: self.clone(), connection: None }
    }

    /// Resolves when somebody has met an error since the last call.
    pub(crate) async fn suspected(&self) {
        self.suspicion.notified().await;
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("address", self.client.get_connection_info().addr()).finish_non_exhaustive()
    }
}

/// See the module.
pub(crate) struct Link {
    redis: Redis,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    /// Runs `work` on the connection, opening it first if need be; its answer may take `patience`. Dropping the returned future drops the
    /// connection, too.
    pub(crate) async fn run<T>(
        &mut self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, LinkError> {
        let done = self.try_run(patience, work).await;
        if done.is_err() {
            self.redis.suspicion.notify_one();
        }
        done
    }

    async fn try_run<T>(
        &mut self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, LinkError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        match time::timeout(patience, work(&mut connection)).await {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Ok(Err(error)) => Err(LinkError::Redis(error)),
            Err(_) => Err(LinkError::TimedOut),
        }
    }

    /// Adds to a stream that is not there, which does nothing, and only where it could be done: a replica answers a `PING`, and a server that
    /// is out of memory an `EXPIRE`. Raises no suspicion.
    pub(crate) async fn probe(&mut self) -> Result<(), LinkError> {
        let options = StreamAddOptions::default().nomkstream();
        let probe = async |connection: &mut MultiplexedConnection| {
            connection.xadd_options("taskrow:probe", "*", &[(FIELD, "")], &options).await
        };
        self.try_run(PATIENCE, probe).await
    }

    /// Another connection to the same server.
    pub(crate) fn anew(&self) -> Self {
        self.redis.link()
    }

    /// Whether a connection is open, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, LinkError> {
        // Each command here is timed by its caller, for reads block on purpose.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
        let connecting = self.redis.client.get_multiplexed_async_connection_with_config(&config);
        match time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connection) => connection.map_err(LinkError::Redis),
            Err(_) => Err(LinkError::TimedOut),
        }
    }
}
