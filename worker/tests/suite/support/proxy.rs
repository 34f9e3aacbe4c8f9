//! A network that can break, between a worker and a server.

use std::net::SocketAddr;

use service::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What it does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes them on.
    Pass,
    /// Closes every connection, old and new.
    Cut,
    /// Keeps them, in both directions, until told otherwise: a half-open connection.
    Stall,
    /// Passes requests on and swallows the answers for good.
    Deaf,
}

/// Listens as long as it lives.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// In front of the server of a database URL.
    pub(crate) async fn new(url: &str) -> Self {
        Self::before(authority(url)).await
    }

    /// In front of the server at `host:port`.
    pub(crate) async fn before(server: &str) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (mode, seen) = watch::channel(Mode::Pass);
        let tasks = Tasks::new();
        tasks.clone().spawn(async move {
            let mut closed = seen.clone();
            loop {
                let client = tokio::select! {
                    client = listener.accept() => client,
                    gone = async { while closed.changed().await.is_ok() {} } => return gone,
                };
                let Ok((client, _)) = client else { continue };
                tasks.spawn(connect(client, server.clone(), seen.clone()));
            }
        });
        Self { address, mode }
    }

    /// The same database, by this way.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(authority(url), &self.address())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

fn authority(url: &str) -> &str {
    let rest = url.rsplit_once('@').expect("a user").1;
    rest.split('/').next().expect("a host")
}

async fn connect(client: TcpStream, server: String, mut mode: watch::Receiver<Mode>) {
    if mode.wait_for(|mode| *mode != Mode::Stall).await.is_ok_and(|mode| *mode == Mode::Cut) {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = mode.clone();
    tokio::select! {
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
        () = pump(from_client, to_server, mode.clone(), false) => {}
        () = pump(from_server, to_client, mode, true) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>, is_answer: bool) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let Ok(mode) = mode.wait_for(|mode| *mode != Mode::Stall).await.map(|mode| *mode) else { return };
        if is_answer && mode == Mode::Deaf {
            continue;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
