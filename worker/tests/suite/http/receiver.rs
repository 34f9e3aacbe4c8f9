//! Receivers of deliveries: one that speaks HTTP, and one that only speaks TCP and may say anything.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use service::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a receiver got.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) from: SocketAddr,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().expect("text"))
    }
}

/// An HTTP server.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    /// Answers requests as `answer` says; it is given the request's number, from 1.
    pub(super) async fn start<R: IntoResponse>(
        answer: impl Fn(usize, &Got) -> R + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let receiver = Self { address: listener.local_addr().expect("an address"), got: Arc::default() };
        let got = receiver.got.clone();
        let receive = move |ConnectInfo(from): ConnectInfo<SocketAddr>, request: Request| async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a body");
            let request = Got { from, method: head.method, uri: head.uri, headers: head.headers, body };
            let number = {
                let mut got = got.lock().expect("no panic");
                got.push(request.clone());
                got.len()
            };
            answer(number, &request).into_response()
        };
        let router = Router::new().fallback(receive).into_make_service_with_connect_info::<SocketAddr>();
        Tasks::new().spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        receiver
    }

    /// Answers the first request with this, and others with 200.
    pub(super) async fn once(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::start(move |number, _: &Got| if number == 1 { answer() } else { StatusCode::OK.into_response() }).await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no panic").clone()
    }

    /// The only request it got.
    pub(super) fn only(&self) -> Got {
        let [got] = <[Got; 1]>::try_from(self.got()).expect("one request");
        got
    }
}

/// What a rude receiver does after its words.
#[derive(Clone, Copy)]
pub(super) enum Then {
    HangUp,
    Wait,
    /// Says this again and again.
    Repeat(&'static str),
}

/// A TCP server that, once a request's head has come, says `words` and then does `then`. From the second connection on it
/// answers 200.
pub(super) struct Rude {
    pub(super) address: SocketAddr,
    closed: Arc<AtomicUsize>,
}

impl Rude {
    pub(super) async fn start(words: &'static str, then: Then) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let rude = Self { address: listener.local_addr().expect("an address"), closed: Arc::default() };
        let closed = rude.closed.clone();
        let tasks = Tasks::new();
        let each = tasks.clone();
        tasks.spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                let closed = closed.clone();
                let (words, then) = match number {
                    0 => (words, then),
                    _ => ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Then::HangUp),
                };
                each.spawn(async move {
                    talk(stream, words, then).await;
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        rude
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How many connections have ended.
    pub(super) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }
}

async fn talk(mut stream: TcpStream, words: &str, then: Then) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await.expect("a request");
        assert!(read > 0, "the request has ended early");
    }
    stream.write_all(words.as_bytes()).await.expect("said");
    match then {
        Then::HangUp => {}
        // Until the other side has had enough.
        Then::Wait => while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {},
        Then::Repeat(more) => while stream.write_all(more.as_bytes()).await.is_ok() {},
    }
}
