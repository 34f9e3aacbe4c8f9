//! A network between the API and Postgres that can fail.

use std::net::SocketAddr;

use service::tasks::Tasks;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::TestDb;

/// Forwards connections to a database until told otherwise.
pub(crate) struct Proxy {
    address: SocketAddr,
    user_and_name: (String, String),
    /// The connections of now; none while the network is away.
    open: watch::Sender<Option<CancellationToken>>,
}

impl Proxy {
    pub(crate) async fn before(database: &TestDb) -> Self {
        let rest = database.url().strip_prefix("postgresql://").expect("a URL of local-pg");
        let (user, location) = rest.rsplit_once('@').unwrap();
        let (server, name) = location.split_once('/').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, watched) = watch::channel(Some(CancellationToken::new()));
        Tasks::new().spawn_detached(accept(listener, server, watched));
        Self { address, user_and_name: (user.to_owned(), name.to_owned()), open }
    }

    pub(crate) fn url(&self) -> String {
        let (user, name) = &self.user_and_name;
        format!("postgresql://{user}@{}/{name}", self.address)
    }

    /// Closes what is open, and from now on what comes.
    pub(crate) fn cut(&self) {
        if let Some(connections) = self.open.send_replace(None) {
            connections.cancel();
        }
    }

    /// Forwards what comes from now on.
    pub(crate) fn mend(&self) {
        self.open.send_replace(Some(CancellationToken::new()));
    }
}

async fn accept(listener: TcpListener, server: String, mut open: watch::Receiver<Option<CancellationToken>>) {
    let tasks = Tasks::new();
    loop {
        let mut client = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            // The test is over.
            () = async { while open.changed().await.is_ok() {} } => return,
        };
        let Some(cut) = open.borrow().clone() else { continue };
        let server = server.clone();
        tasks.spawn_detached(async move {
            let Ok(mut upstream) = TcpStream::connect(&server).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => {}
                () = cut.cancelled() => {}
            }
        });
    }
}
