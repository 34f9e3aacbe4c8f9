//! A network that can fail: between the API and Postgres, or between a client and the API.

use std::net::SocketAddr;

use service::tasks::Tasks;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::TestDb;

/// Forwards connections to a server until told otherwise.
pub(crate) struct Proxy {
    server: String,
    url: String,
    /// None while the network is away.
    open: watch::Sender<Option<Open>>,
}

/// The connections of now, and where new ones lead.
#[derive(Clone)]
struct Open {
    server: String,
    cut: CancellationToken,
}

impl Proxy {
    pub(crate) async fn before(database: &TestDb) -> Self {
        let rest = database.api_url().strip_prefix("postgresql://").expect("a URL of local-pg");
        let (user, location) = rest.rsplit_once('@').unwrap();
        let (server, name) = location.split_once('/').unwrap();
        Self::to(server.to_owned(), |address| format!("postgresql://{user}@{address}/{name}")).await
    }

    pub(crate) async fn before_api(address: SocketAddr) -> Self {
        Self::to(address.to_string(), |address| format!("http://{address}")).await
    }

    async fn to(server: String, url: impl FnOnce(SocketAddr) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(listener.local_addr().unwrap());
        let (open, watched) = watch::channel(Some(Open { server: server.clone(), cut: CancellationToken::new() }));
        Tasks::new().spawn_detached(accept(listener, watched));
        Self { server, url, open }
    }

    /// What the proxy stands before, by way of it.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Closes what is open, and from now on what comes.
    pub(crate) fn cut(&self) {
        if let Some(open) = self.open.send_replace(None) {
            open.cut.cancel();
        }
    }

    /// Forwards what comes from now on.
    pub(crate) fn mend(&self) {
        self.mend_to(self.server.clone());
    }

    /// Forwards what comes from now on, to another server.
    pub(crate) fn mend_to(&self, server: String) {
        self.open.send_replace(Some(Open { server, cut: CancellationToken::new() }));
    }
}

async fn accept(listener: TcpListener, mut open: watch::Receiver<Option<Open>>) {
    let tasks = Tasks::new();
    loop {
        let mut client = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            // The test is over.
            () = async { while open.changed().await.is_ok() {} } => return,
        };
        let Some(Open { server, cut }) = open.borrow().clone() else { continue };
        tasks.spawn_detached(async move {
            let Ok(mut upstream) = TcpStream::connect(&server).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => {}
                () = cut.cancelled() => {}
            }
        });
    }
}
