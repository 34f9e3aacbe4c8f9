//! The API as a process, or as a part of one: bind, run, stop in order.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use dispatch::Dispatch;
use futures_util::{StreamExt, stream::FuturesUnordered};
use service::{database::Database, exit::Failure, tasks::Tasks, tokens::Tokens};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::ApiArgs,
    health,
    metrics::refresh_while_scraped,
    reads::Reader,
    router::router,
    serve::{App, serve},
    state::AppState,
    submitter::Flusher,
    waits::Looker,
};

/// What stopping may take after the last connection ended, at least: storing what clients that hung up had submitted.
const LAST_FLUSH: Duration = Duration::from_secs(2);
/// How long loops that hold nothing may take to notice that they must end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An API whose port is open. Nothing is served before [`Api::run`].
#[derive(Debug)]
pub struct Api {
    args: ApiArgs,
    database: Database,
    dispatch: Dispatch,
    tokens: Option<Tokens>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Api {
    /// Checks the configuration, then opens the port. Neither Postgres nor Redis is needed yet.
    pub async fn bind(args: ApiArgs, database: Database, dispatch: Dispatch) -> Result<Self, Failure> {
        args.validate()?;
        let bind = args.http.bind;
        let cannot_listen = |error: std::io::Error| match error.kind() {
            ErrorKind::AddrInUse => Failure::unavailable(format!(
                "port {} is taken: something else listens on {bind}; stop it or set API_BIND",
                bind.port()
            )),
            _ => Failure::unavailable(format!("cannot listen on {bind}: {error}; see API_BIND")),
        };
        let listener = TcpListener::bind(bind).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        Ok(Self { args, database, dispatch, tokens: None, listener, address })
    }

    /// Lets in only who brings one of these tokens. None, as without this call: everybody.
    #[must_use]
    pub fn guarded_by(self, tokens: Option<Tokens>) -> Self {
        Self { tokens, ..self }
    }

    /// Where it listens: the port that was found when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then stops in order:
    ///
    /// 1. `/ready` turns 503, those who wait for a task are answered, everything is served on for the drain delay
    /// 2. the port closes, running requests end within the drain budget
    /// 3. what is left in the submit buffer is stored
    ///
    /// An error means that a part ended by itself, which is a bug.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let drain = self.args.drain.clone();
        let requests = Tasks::new();
        if is_open_to_others(self.tokens.as_ref(), self.address) {
            warn!(address = %self.address, "no API tokens: whoever reaches this address may submit, read and cancel tasks; see API_TOKENS_FILE");
        }
        let tokens = self.tokens.clone();
        let state = AppState::new(self.args, self.database, self.dispatch, self.tokens, requests.clone());
        let parts = Parts::start(&state, tokens, self.listener, *drain.drain_budget);
        info!(address = %self.address, database = state.database.address(), "serving");

        let mut watched = parts.watched;
        tokio::select! {
            () = stop.cancelled() => {}
            _ = watched.next() => return Err(Failure::software("a part of the API ended by itself; the log says why")),
        }

        state.readiness.stop();
        state.waits.close();
        info!(delay = %drain.drain_delay, "not ready any more; serving on until load balancers have noticed");
        time::sleep(*drain.drain_delay).await;

        let deadline = Instant::now() + *drain.drain_budget;
        parts.stop_serving.cancel();
        parts.server.finish(*drain.drain_budget + LAST_FLUSH).await;

        state.submitter.close();
        let left = deadline.saturating_duration_since(Instant::now()).max(LAST_FLUSH);
        parts.flushers.finish(left).await;
        requests.finish(left).await;
        parts.stop_loops.cancel();
        parts.loops.finish(LAST_WORDS).await;
        info!("stopped");
        Ok(())
    }
}

/// Whether anybody but this machine's own users may do everything.
fn is_open_to_others(tokens: Option<&Tokens>, address: SocketAddr) -> bool {
    tokens.is_none() && !address.ip().to_canonical().is_loopback()
}

/// What runs in the background, by the order in which it stops.
struct Parts {
    server: Tasks,
    flushers: Tasks,
    loops: Tasks,
    stop_serving: CancellationToken,
    stop_loops: CancellationToken,
    /// Those that must not end by themselves.
    watched: FuturesUnordered<JoinHandle<()>>,
}

impl Parts {
    fn start(state: &AppState, tokens: Option<Tokens>, listener: TcpListener, budget: Duration) -> Self {
        let (server, flushers, loops) = (Tasks::new(), Tasks::new(), Tasks::new());
        let (stop_serving, stop_loops) = (CancellationToken::new(), CancellationToken::new());
        let watched = FuturesUnordered::new();
        for _ in 0..state.args.submit.flushers {
            let flusher = Flusher::new(
                &state.submitter,
                &state.database,
                state.publisher.clone(),
                state.notifier.clone(),
                state.suspicion.clone(),
                state.metrics.submit.clone(),
            );
            watched.push(flushers.spawn(flusher.run()));
        }
        for _ in 0..state.args.read.readers {
            let (suspicion, metrics) = (state.suspicion.clone(), state.metrics.read.clone());
            let reader = Reader::new(&state.reads, &state.database, suspicion, metrics);
            watched.push(loops.spawn(reader.run(stop_loops.clone())));
        }
        let (suspicion, metrics) = (state.suspicion.clone(), state.metrics.wait.clone());
        let looker = Looker::new(&state.waits, &state.database, suspicion, metrics);
        watched.push(loops.spawn(looker.run(stop_loops.clone())));
        watched.push(loops.spawn(state.notifier.clone().run(state.database.clone(), stop_loops.clone())));
        watched.push(loops.spawn(state.publisher.clone().run(stop_loops.clone())));
        watched.push(loops.spawn(state.dispatch.clone().watch(state.readiness.clone(), stop_loops.clone())));
        watched.push(loops.spawn(health::watch(
            state.database.clone(),
            state.readiness.clone(),
            state.suspicion.clone(),
            state.strict.clone(),
            stop_loops.clone(),
        )));
        if let Some(tokens) = tokens {
            watched.push(loops.spawn(tokens.watch(stop_loops.clone())));
        }
        watched.push(loops.spawn(state.admission.clone().watch(state.database.clone(), stop_loops.clone())));
        watched.push(loops.spawn(refresh_while_scraped(
            state.overview.clone(),
            state.metrics.scrapes.clone(),
            stop_loops.clone(),
        )));
        watched.push(server.spawn(serve(
            listener,
            App { routes: router(state.clone()), tells_peers: state.access.asks_for_peers() },
            state.args.http.clone(),
            state.metrics.http.clone(),
            stop_serving.clone(),
            budget,
        )));
        Self { server, flushers, loops, stop_serving, stop_loops, watched }
    }
}

#[cfg(test)]
mod tests {
    use service::tokens::{Scope, Secret, Token, TokenArgs, entry};

    use super::*;

    #[test]
    fn it_warns_when_others_get_in_without_a_token() {
        let token = Token::new("a".to_owned(), &[Scope::Read], None).unwrap();
        let list = entry(&token, &Secret::random().unwrap());
        let tokens = TokenArgs { api_tokens: Some(list), ..TokenArgs::default() }.tokens().unwrap();
        for (address, warns) in [
            ("0.0.0.0:8080", true),
            ("[::]:8080", true),
            ("192.0.2.1:80", true),
            ("127.0.0.1:8080", false),
            ("127.1.2.3:8080", false),
            ("[::1]:8080", false),
            ("[::ffff:127.0.0.1]:8080", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(is_open_to_others(None, address), warns, "{address}");
            assert!(!is_open_to_others(tokens.as_ref(), address), "{address}");
        }
    }
}
