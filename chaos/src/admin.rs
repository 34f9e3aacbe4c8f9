//! The harness' own way into the database: as superuser, past every proxy, on a new connection each time.

use std::time::Duration;

use service::{exit::Failure, tasks::Tasks};
use tokio::time::{self, Instant};
use tokio_postgres::{Client, NoTls};

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest that a statement takes, but for those that read everything.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the server is.
#[derive(Clone, Debug)]
pub struct Admin {
    url: String,
}

impl Admin {
    /// A database as superuser.
    pub fn new(url: String) -> Self {
        Self { url }
    }

    /// A connection; tries until the deadline, for the server may be away.
    pub async fn connect(&self, limit: Duration) -> Result<Client, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            match time::timeout(Duration::from_secs(5), tokio_postgres::connect(&self.url, NoTls)).await {
                Ok(Ok((client, connection))) => {
                    Tasks::new().spawn_detached(async {
                        // The client sees the same error.
                        let _ = connection.await;
                    });
                    return Ok(client);
                }
                Ok(Err(error)) if Instant::now() > deadline => {
                    return Err(Failure::unavailable(format!("the server of this run: {error}")));
                }
                Err(_) if Instant::now() > deadline => {
                    return Err(Failure::unavailable("the server of this run does not answer"));
                }
                _ => time::sleep(PAUSE).await,
            }
        }
    }

    /// Runs statements.
    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        let client = self.connect(LIMIT).await?;
        let ran = time::timeout(LIMIT, client.batch_execute(sql)).await;
        ran.map_err(|_| Failure::software(format!("no end after {LIMIT:?}: {sql}")))?
            .map_err(|error| Failure::software(format!("{}: {sql}", said(&error))))
    }

    /// Runs statements that may run twice, again until they succeed: another fault may be in the way.
    pub async fn insist(&self, sql: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.run(sql).await {
                Err(_) if Instant::now() < deadline => time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// A number, asked again until there is an answer.
    pub async fn number(&self, sql: &str) -> Result<i64, Failure> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let client = self.connect(LIMIT).await?;
            let outcome = match time::timeout(LIMIT, client.query_one(sql, &[])).await {
                Ok(Ok(row)) => return row.try_get(0).map_err(Failure::software),
                Ok(Err(error)) => said(&error),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() > deadline {
                return Err(Failure::software(format!("{outcome}: {sql}")));
            }
            time::sleep(PAUSE).await;
        }
    }

    /// The database's clock, in microseconds since 1970.
    pub async fn clock(&self) -> Result<i64, Failure> {
        self.number("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").await
    }
}

/// What the server said; by itself the library tells that it said something.
fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}
