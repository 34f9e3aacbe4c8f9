//! Connections: accepting them, at most so many at once, and ending them in order.
//!
//! `axum::serve` has no limit for slow headers and none for connections, hence hyper's own builder. What the peer does wrong before there is a request
//! (no HTTP, a head too large, two lengths of one body) is answered by hyper, without a body, and the connection is closed.

mod crowd;
mod pulse;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

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
use service::{backoff::jittered, tasks::Tasks};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::{
    crowd::{Crowd, Place},
    pulse::{Answering, Listening},
};
use crate::{access::Peer, config::HttpArgs, metrics::HttpMetrics};

/// Longest wait for the next request on an idle connection. Load balancers close idle
/// connections after 60 s as a rule; closing first could cut off a request that is just being sent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest head of a request, in bytes: what each connection may hold back at most.
const HEAD_LIMIT: usize = 32 * 1024;
/// Most headers of a request.
const HEADERS_LIMIT: usize = 100;
/// How often room is made while all connections are taken and another one waits.
const ROOM_PACE: Duration = Duration::from_millis(50);
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
    args: HttpArgs,
    metrics: HttpMetrics,
    stop: CancellationToken,
    budget: Duration,
) {
    let tasks = Tasks::new();
    let cut_off = CancellationToken::new();
    let crowd = Crowd::new(*args.head_timeout, metrics);
    tokio::select! {
        () = accept(&listener, &app, args.connections, &crowd, &tasks, &stop, &cut_off) => {}
        () = crowd.clone().watch_heads() => {}
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
    crowd: &Crowd,
    tasks: &Tasks,
    stop: &CancellationToken,
    cut_off: &CancellationToken,
) {
    let free = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                crowd.make_room();
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let permit = permit(&free, crowd).await;
        let peer = app.tells_peers.then(|| Peer(peer.ip()));
        let (routes, stop, cut_off) = (app.routes.clone(), stop.clone(), cut_off.clone());
        let place = crowd.enter();
        tasks.spawn(async move {
            converse(stream, peer, routes, place, stop, cut_off).await;
            drop(permit);
        });
    }
}

/// A place for one more connection. When all are taken, who waits longest for its client makes room.
async fn permit(free: &Arc<Semaphore>, crowd: &Crowd) -> OwnedSemaphorePermit {
    loop {
        if let Ok(permit) = Arc::clone(free).try_acquire_owned() {
            return permit;
        }
        crowd.make_room();
        // Never closed, so a permit comes when one is free.
        if let Ok(Ok(permit)) = time::timeout(jittered(ROOM_PACE), Arc::clone(free).acquire_owned()).await {
            return permit;
        }
    }
}

/// One connection's life.
async fn converse(
    stream: TcpStream,
    peer: Option<Peer>,
    routes: Router,
    place: Place,
    stop: CancellationToken,
    cut_off: CancellationToken,
) {
    // Answers are small and written at once; waiting for more would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection was gone at once");
        return;
    }
    let routes = TowerToHyperService::new(routes);
    let pulse = &place.pulse;
    let service = service_fn(|mut request: Request<Incoming>| {
        pulse.busy();
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (answer, pulse) = (routes.call(request), Arc::clone(pulse));
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(response.map(|body| Answering::new(body, pulse)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_headers(HEADERS_LIMIT)
        .max_header_size(HEAD_LIMIT)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(Listening::new(stream, Arc::clone(pulse))), service);
    let mut connection = pin!(connection);
    let (mut is_ending, mut is_dismissed) = (false, false);
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
            () = place.dismissed.cancelled(), if !is_dismissed => {
                if place.pulse.owes_nothing() {
                    return;
                }
                is_dismissed = true;
                connection.as_mut().graceful_shutdown();
            }
            () = cut_off.cancelled() => return,
        }
    }
}
