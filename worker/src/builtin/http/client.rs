//! Connections to receivers: kept open and used again, never through a proxy, never beyond what the guard permits.

use std::{
    error::Error,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        self,
        connect::{
            HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::ClientConfig;
use tokio::{net::TcpStream, time};
use tower_service::Service;

use super::guard::{OutOfReach, Reach};

/// Longest that resolving a name, connecting and agreeing on TLS may take together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept. Shorter than what most servers do, so that they are not the ones who close.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Most unused connections kept to one receiver.
const IDLE_PER_HOST: usize = 32;

/// Sends requests. Cheap to clone: clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Client(legacy::Client<Connector, Full<Bytes>>);

type Connector = Guarded<HttpsConnector<HttpConnector<Guarded<GaiResolver>>>>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The guard forbids it.
    OutOfReach(OutOfReach),
    /// Anything that another attempt may overcome. Names no address.
    Lost(String),
}

impl Client {
    /// A client that opens connections within `reach` and trusts what `tls` says.
    pub(super) fn new(reach: Reach, tls: ClientConfig) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Guarded { reach, inner: GaiResolver::new() });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = Guarded { reach, inner: HttpsConnector::from((connector, tls)) };
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Self(client)
    }

    /// Sends a request; the answer's body is still to be read. The caller limits the time.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        self.0.request(request).await.map_err(|error| match out_of_reach(&error) {
            Some(refusal) => Unsent::OutOfReach(refusal),
            None => Unsent::Lost(reason(&error)),
        })
    }
}

fn out_of_reach(error: &legacy::Error) -> Option<OutOfReach> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<OutOfReach>() {
            return Some(*refusal);
        }
        cause = error.source();
    }
    None
}

/// The causes of an error, without what only says that there was one.
pub(super) fn reason(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = error.source().or(Some(error));
    while let Some(error) = cause {
        let part = error.to_string();
        if !parts.iter().any(|known| known.contains(&part)) {
            parts.push(part);
        }
        cause = error.source();
    }
    parts.join(": ")
}

/// Resolves or connects within a reach.
#[derive(Clone, Debug)]
struct Guarded<S> {
    reach: Reach,
    inner: S,
}

type Pending<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
type BoxError = Box<dyn Error + Send + Sync>;

/// Names: what is out of reach is as good as not resolved.
impl Service<Name> for Guarded<GaiResolver> {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pending<Self::Response, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (reach, addresses) = (self.reach, self.inner.call(name));
        Box::pin(async move { Ok(reach.filter(addresses.await?, SocketAddr::ip)?) })
    }
}

/// Connections: addresses in URLs never come to the resolver.
impl<C> Service<Uri> for Guarded<HttpsConnector<C>>
where
    HttpsConnector<C>: Service<Uri, Response = MaybeHttpsStream<TokioIo<TcpStream>>, Error = BoxError>,
    <HttpsConnector<C> as Service<Uri>>::Future: Send + 'static,
{
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pending<Self::Response, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let host = target.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if address.is_ok_and(|address| !self.reach.permits(address)) {
            return Box::pin(async { Err(OutOfReach.into()) });
        }
        let connecting = self.inner.call(target);
        Box::pin(async move {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
            time::timeout(CONNECT_LIMIT, connecting).await.map_err(late)?
        })
    }
}

/// Trusts these authorities, by rustls with ring.
pub(super) fn tls(authorities: rustls::RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS: {error}"))?;
    Ok(builder.with_root_certificates(authorities).with_no_client_auth())
}
