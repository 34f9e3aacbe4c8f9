//! Connections: accepting them, at most so many at once, and ending them in order.
//!
//! `axum::serve` has no limit for slow headers and none for connections, hence hyper's own builder.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use service::tasks::Tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{access::Peer, metrics::HttpMetrics};

/// Longest wait for the head of a request, and so for the next request on an idle connection. Load balancers close idle
/// connections after 60 s as a rule; closing first could cut off a request that is just being sent.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest head of a request, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// Pause after an accept failed: as a rule file descriptors have run out, and some must come free first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections that are cut off may take to notice.
const CUT_OFF: Duration = Duration::from_secs(1);

/// What answers requests.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) routes: Router,
    /// Whether requests are told their [`Peer`]; that costs each an allocation.
    pub(crate) tells_peers: bool,
}

/// Serves until `stop`. Then closes the port, lets running requests end within `budget`, and cuts off what is left.
pub(crate) async fn serve(
    listener: TcpListener,
    app: App,
    connections: usize,
    metrics: HttpMetrics,
    stop: CancellationToken,
    budget: Duration,
) {
    let tasks = Tasks::new();
    let cut_off = CancellationToken::new();
    tokio::select! {
        () = accept(&listener, &app, connections, &metrics, &tasks, &stop, &cut_off) => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    if !tasks.finish(budget).await {
        warn!(connections = tasks.len(), "requests did not end in time; cutting them off");
        cut_off.cancel();
        tasks.finish(CUT_OFF).await;
    }
}

async fn accept(
    listener: &TcpListener,
    app: &App,
    connections: usize,
    metrics: &HttpMetrics,
    tasks: &Tasks,
    stop: &CancellationToken,
    cut_off: &CancellationToken,
) {
    let free = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    // Never closed, so a permit always comes.
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = app.tells_peers.then(|| Peer(peer.ip()));
        let (routes, stop, cut_off) = (app.routes.clone(), stop.clone(), cut_off.clone());
        let open = metrics.connections.clone();
        tasks.spawn(async move {
            open.inc();
            converse(stream, peer, routes, stop, cut_off).await;
            open.dec();
            drop(permit);
        });
    }
}

/// One connection's life.
async fn converse(
    stream: TcpStream,
    peer: Option<Peer>,
    routes: Router,
    stop: CancellationToken,
    cut_off: CancellationToken,
) {
    // Answers are small and written at once; waiting for more would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection was gone at once");
        return;
    }
    let routes = TowerToHyperService::new(routes);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    let mut is_ending = false;
    loop {
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    debug!(%error, "a connection broke off");
                }
                return;
            }
            () = stop.cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = cut_off.cancelled() => return,
        }
    }
}
