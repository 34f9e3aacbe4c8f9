//! A connection with one owner that mends itself.
//!
//! Claimer, finisher, heartbeat, flushers and notifier each own one. After any error the connection is dropped and the next
//! call opens a new one: after a failover, a killed backend or a half-open socket the old one is worthless, and telling those
//! apart from harmless errors is not worth the risk.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio::time;

use super::{ConnectError, Database, Session, in_one_transaction};

/// Added to a statement's own timeout before the connection is given up: the server should have answered by then.
const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// After an error: how long the connection may take to show that it still works.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// See the module.
pub struct Link {
    database: Database,
    session: Session,
    connection: Option<AsyncPgConnection>,
}

/// Why a call on a [`Link`] failed. What the database did with the statement is unknown, unless the source says it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] ConnectError),
    /// The database answered with an error, or this end could not make sense of the answer.
    #[error("{0}")]
    Statement(diesel::result::Error),
    /// The connection broke under the statement, whatever the error says.
    #[error("the connection broke: {0}")]
    Broken(diesel::result::Error),
    /// No answer in time.
    #[error("no answer from the database")]
    TimedOut,
}

impl LinkError {
    /// Whether the database answered with an error about the statement itself, rather than being away.
    pub fn is_answer(&self) -> bool {
        use diesel::result::{DatabaseErrorKind as Kind, Error};
        match self {
            Self::Statement(Error::DatabaseError(kind, _)) => {
                !matches!(kind, Kind::UnableToSendCommand | Kind::ClosedConnection | Kind::ReadOnlyTransaction)
            }
            _ => false,
        }
    }
}

impl Link {
    pub(super) fn new(database: Database, session: Session) -> Self {
        Self { database, session, connection: None }
    }

    /// Runs `work` on the connection, opening it first if need be.
    ///
    /// Dropping the returned future drops the connection too, for a statement that was sent still runs and its answer
    /// must not be taken for the next one's.
    pub async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, diesel::result::Error>,
    ) -> Result<T, LinkError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect(self.session).await?,
        };
        let limit = self.session.statement_timeout + ANSWER_MARGIN;
        let session = self.session;
        let work = async |connection: &mut AsyncPgConnection| {
            if self.database.is_pooler(session) {
                in_one_transaction(connection, session, work).await
            } else {
                work(connection).await
            }
        };
        match time::timeout(limit, work(&mut connection)).await {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                Ok(value)
            }
            // A server that goes down says so by an error like any other. The connection tells the two apart.
            Ok(Err(error)) => match time::timeout(PROBE_LIMIT, connection.batch_execute("SELECT 1")).await {
                Ok(Ok(())) => Err(LinkError::Statement(error)),
                _ => Err(LinkError::Broken(error)),
            },
            Err(_) => Err(LinkError::TimedOut),
        }
    }

    /// Whether a connection is open, as far as is known.
    pub fn is_open(&self) -> bool {
        self.connection.is_some()
    }
}
