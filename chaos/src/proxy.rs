//! A network that can break: a TCP proxy in front of a server, one for each process that connects.

use std::{net::SocketAddr, time::Duration};

use service::tasks::Tasks;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time,
};

/// A chunk that is passed on at once.
const CHUNK: usize = 16 * 1024;

/// What it does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes them on.
    Pass,
    /// Closes every connection, old and new.
    Cut,
    /// Swallows what comes from either side and says nothing; new connections are accepted and get no answer either. Connections that were there
    /// meanwhile stay so for good, for bytes are missing from them: half-open, as after a firewall forgot them.
    Swallow,
    /// Passes each chunk on after so long.
    Delay(Duration),
    /// Passes on about so many bytes a second.
    Throttle(u32),
}

/// Listens as long as it lives.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// In front of the server at `host:port`.
    pub async fn before(server: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, seen) = watch::channel(Mode::Pass);
        let tasks = Tasks::new();
        tasks.clone().spawn(async move {
            let mut gone = seen.clone();
            loop {
                let client = tokio::select! {
                    client = listener.accept() => client,
                    () = async { while gone.changed().await.is_ok() {} } => return,
                };
                // Out of descriptors, perhaps: some must come free first.
                let Ok((client, _)) = client else {
                    time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                tasks.spawn(connect(client, server.clone(), seen.clone()));
            }
        });
        Ok(Self { address, mode })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn connect(client: TcpStream, server: String, mode: watch::Receiver<Mode>) {
    let now = *mode.borrow();
    if now == Mode::Cut {
        return;
    }
    let mut cut = mode.clone();
    let is_cut = async { cut.wait_for(|mode| *mode == Mode::Cut).await.is_ok() };
    if now == Mode::Swallow {
        let (from, _to) = client.into_split();
        tokio::select! {
            _ = is_cut => {}
            () = swallow(from) => {}
        }
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = is_cut => {}
        () = pump(from_client, to_server, mode.clone()) => {}
        () = pump(from_server, to_client, mode.clone()) => {}
    }
}

/// Passes on, until either side closes. Once bytes were swallowed nothing is passed on any more.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let mode = *mode.borrow();
        match mode {
            Mode::Pass | Mode::Cut => {}
            Mode::Swallow => return swallow(from).await,
            Mode::Delay(pause) => time::sleep(pause).await,
            Mode::Throttle(rate) => time::sleep(Duration::from_secs_f64(count as f64 / f64::from(rate.max(1)))).await,
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Reads and forgets, until this side closes.
async fn swallow(mut from: OwnedReadHalf) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(1..) = from.read(&mut bytes).await {}
}
