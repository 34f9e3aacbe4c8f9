//! The database of a local run: the one named by the configuration, or a private one.

use std::path::Path;

use local_pg::{Installation, Server, StopMode};
use service::{
    database::{Database, DatabaseArgs},
    exit::Failure,
};
use tokio::task;
use tracing::{info, warn};

/// The database, and the server if it is ours to stop.
pub(crate) struct Postgres {
    pub(crate) database: Database,
    server: Option<Server>,
}

impl Postgres {
    /// Starts the private server, unless `DATABASE_URL` names a database.
    pub(crate) async fn start(args: &DatabaseArgs, data: &Path) -> Result<Self, Failure> {
        if args.database_url.is_some() {
            return Ok(Self { database: args.database("dev")?, server: None });
        }
        let data = std::path::absolute(data).map_err(Failure::usage)?;
        let server = blocking(move || Server::durable(&Installation::find()?, &data, None)).await?;
        if let Some(note) = server.note() {
            info!("{note}");
        }
        info!(
            version = server.installation().version(),
            data = %server.data_dir().display(),
            port = server.port(),
            "private Postgres started"
        );
        server.create_database("app").await.map_err(Failure::unavailable)?;
        let database = Database::from_url(&server.url("app"), "dev")?;
        Ok(Self { database, server: Some(server) })
    }

    /// How to look into it with psql; none: the user knows. The password stays in its file.
    pub(crate) fn psql(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        let data = server.data_dir();
        let password = data.parent().unwrap_or(&data).join("password");
        Some(format!("PGPASSWORD=$(cat {}) psql -h 127.0.0.1 -p {} -U taskrow app", password.display(), server.port()))
    }

    /// Stops the private server.
    pub(crate) async fn stop(self) {
        let Some(mut server) = self.server else { return };
        match blocking(move || server.stop(StopMode::Fast)).await {
            Ok(()) => info!("private Postgres stopped; its data stays"),
            Err(failure) => warn!(%failure, "private Postgres did not stop in order"),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, local_pg::Error> + Send + 'static,
) -> Result<T, Failure> {
    task::spawn_blocking(work).await.map_err(Failure::software)?.map_err(Failure::unavailable)
}
