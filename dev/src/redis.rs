//! The queue backend of a local run: as configured; with backend `redis` and no address, a private Redis.

use dispatch::{Backend, Dispatch, DispatchArgs};
use local_redis::Server;
use service::exit::Failure;
use tokio::task;
use tracing::{info, warn};

/// The backend, and the server if it is ours to stop.
pub(crate) struct Redis {
    pub(crate) dispatch: Dispatch,
    server: Option<Server>,
}

impl Redis {
    /// Starts the private server, unless Postgres is the backend or `REDIS_ADDR` names a server.
    pub(crate) async fn start(args: &DispatchArgs) -> Result<Self, Failure> {
        if args.queue_backend == Backend::Postgres || args.redis_addr.is_some() {
            return Ok(Self { dispatch: args.dispatch()?, server: None });
        }
        let server = blocking(Server::start).await?;
        let found = server.installation();
        info!(
            product = %found.product(),
            version = found.version(),
            address = server.address(),
            "private Redis started, empty"
        );
        let args = DispatchArgs { redis_addr: Some(server.address()), ..args.clone() };
        Ok(Self { dispatch: args.dispatch()?, server: Some(server) })
    }

    /// How to look into it with redis-cli; none: the user knows.
    pub(crate) fn cli(&self) -> Option<String> {
        self.server.as_ref().map(|server| format!("redis-cli -u redis://{}", server.address()))
    }

    /// Stops the private server.
    pub(crate) async fn stop(self) {
        let Some(mut server) = self.server else { return };
        match blocking(move || server.stop()).await {
            Ok(()) => info!("private Redis stopped"),
            Err(failure) => warn!(%failure, "private Redis did not stop in order"),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, local_redis::Error> + Send + 'static,
) -> Result<T, Failure> {
    task::spawn_blocking(work).await.map_err(Failure::software)?.map_err(Failure::unavailable)
}
