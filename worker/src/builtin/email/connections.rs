//! Connections to the mail server, kept for the next message.
//!
//! lettre's own pool takes a connection back that was given up in the middle of a command; the next message would then read the answer
//! to the one before it. Here only one comes back whose message was accepted.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, TlsParameters},
    extension::ClientId,
};
use tokio::time::Instant;

/// Kept at most so many, for so long; servers close idle ones after minutes.
const IDLE: usize = 8;
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// How a connection is encrypted.
#[derive(Clone)]
pub(super) enum Security {
    /// From the first byte.
    Implicit(TlsParameters),
    /// Before anything is said that matters; a server that does not offer it is refused.
    Starttls(TlsParameters),
    None,
}

/// Where messages go.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) hello: ClientId,
    pub(super) credentials: Option<Credentials>,
    /// For each address of the host.
    pub(super) connect_timeout: Duration,
}

/// Why there is no connection. None of these is a task's fault.
pub(super) enum NoConnection {
    /// Not reached, not encrypted, or not willing.
    Failed(Error),
    /// The server did not take the credentials.
    Login(Error),
}

/// Those that nobody uses now, each with the time it was put here.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(AsyncSmtpConnection, Instant)>>);

impl Idle {
    /// The one used last.
    pub(super) fn take(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
        idle.pop().map(|(connection, _)| connection)
    }

    /// Keeps one that waits for a command.
    pub(super) fn put(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push((connection, Instant::now()));
        }
    }
}

impl Server {
    /// A new connection, encrypted and logged in as configured.
    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, NoConnection> {
        let address = (self.host.as_str(), self.port);
        let implicit = match &self.security {
            Security::Implicit(tls) => Some(tls.clone()),
            Security::Starttls(_) | Security::None => None,
        };
        let timeout = Some(self.connect_timeout);
        let connection = AsyncSmtpConnection::connect_tokio1(address, timeout, &self.hello, implicit, None);
        let mut connection = connection.await.map_err(NoConnection::Failed)?;
        if let Security::Starttls(tls) = &self.security {
            connection.starttls(tls.clone(), &self.hello).await.map_err(NoConnection::Failed)?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(NoConnection::Login)?;
        }
        Ok(connection)
    }
}
