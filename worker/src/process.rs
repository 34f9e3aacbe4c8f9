//! A worker with its health endpoints: what the `worker` binary and the all-in-one local run start.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use service::{exit::Failure, probes, tasks::Tasks, tokens::Tokens};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::worker::Worker;

/// Longest wait for the answers under way when everything else has ended.
const SERVING_LIMIT: Duration = Duration::from_secs(2);

/// A worker whose port is open and that does not run yet.
pub struct Process {
    worker: Worker,
    listener: TcpListener,
    tokens: Option<Tokens>,
}

impl Process {
    /// Opens the port for `/live`, `/ready` and `/metrics`.
    pub async fn bind(worker: Worker, address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let reason = if error.kind() == ErrorKind::AddrInUse {
                format!("port {} is taken: something else listens on {address}", address.port())
            } else {
                format!("cannot listen on {address}: {error}")
            };
            Failure::unavailable(format!("{reason}; WORKER_BIND names another address"))
        })?;
        Ok(Self { worker, listener, tokens: None })
    }

    /// Tells metrics only to those who bring one of these tokens. None, as without this call: to everybody.
    #[must_use]
    pub fn guarded_by(self, tokens: Option<Tokens>) -> Self {
        Self { tokens, ..self }
    }

    /// The address that is open.
    pub fn local_addr(&self) -> Result<SocketAddr, Failure> {
        self.listener.local_addr().map_err(Failure::software)
    }

    /// Runs the worker until `stop` and its drain; `/live` answers to the end.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let metrics = self.worker.metrics();
        let tokens = self.tokens.clone();
        let render = move || {
            metrics.tokens_stale.set(tokens.as_ref().is_some_and(Tokens::is_stale).into());
            metrics.render()
        };
        let routes = probes::guarded_router(self.worker.readiness(), Arc::new(render), self.tokens.clone());
        let end = CancellationToken::new();
        let serving = Tasks::new();
        if let Some(tokens) = self.tokens {
            serving.spawn(tokens.watch(end.clone()));
        }
        info!(address = %self.listener.local_addr().map_err(Failure::software)?, "serving /live, /ready and /metrics");
        let server = axum::serve(self.listener, routes).with_graceful_shutdown(end.clone().cancelled_owned());
        serving.spawn(async move { server.await });
        self.worker.run(stop).await;
        end.cancel();
        serving.finish(SERVING_LIMIT).await;
        Ok(())
    }
}
