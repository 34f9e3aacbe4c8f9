//! A closed loop of HTTP clients: each has a connection, and sends its next request when it has the answer to the last one.
//!
//! Requests are bytes made beforehand and answers are read no further than needed, for client and server share the processor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use service::exit::Failure;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{self, Instant},
};

use crate::{figures::percentile, together};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(35);
/// Requests before the clock starts, per connection.
const WARM_UP: Duration = Duration::from_millis(500);

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer. The body lies in the connection's buffer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(Failure::unavailable)?;
        stream.set_nodelay(true).map_err(Failure::unavailable)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer. Anything but 2xx is a failure.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, Failure> {
        let answer = match time::timeout(PATIENCE, self.exchange(request)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(Failure::software(format!("no answer within {PATIENCE:?}"))),
        };
        if !(200..300).contains(&answer.status) {
            let body = String::from_utf8_lossy(answer.body);
            return Err(Failure::software(format!("the answer was {}: {body}", answer.status)));
        }
        Ok(answer)
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Failure> {
        self.stream.write_all(request).await.map_err(Failure::software)?;
        self.received.clear();
        let (status, body, end) = loop {
            if self.stream.read_buf(&mut self.received).await.map_err(Failure::software)? == 0 {
                return Err(Failure::software("the server closed the connection"));
            }
            if let Some((status, body, end)) = head(&self.received)? {
                break (status, body, end);
            }
        };
        while self.received.len() < end {
            if self.stream.read_buf(&mut self.received).await.map_err(Failure::software)? == 0 {
                return Err(Failure::software("the server closed the connection within an answer"));
            }
        }
        Ok(Answer { status, body: &self.received[body..end] })
    }
}

/// Status, start and end of the body, once the head is complete.
fn head(received: &[u8]) -> Result<Option<(u16, usize, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = response.parse(received).map_err(Failure::software)? else {
        return Ok(None);
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let length = length.ok_or_else(|| Failure::software("an answer without content-length"))?;
    Ok(Some((response.code.unwrap_or_default(), start, start + length)))
}

/// A `GET`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

/// A `POST` of JSON.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What a closed loop saw.
pub(crate) struct Rate {
    /// All requests, those before the clock started included. Each was answered with 2xx.
    pub(crate) answered: usize,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Sends requests over so many connections for so long; each connection takes its requests from `requests`, starting over at the end.
pub(crate) async fn closed_loop(
    address: &str,
    connections: usize,
    time: Duration,
    requests: &Arc<Vec<Vec<u8>>>,
) -> Result<Rate, Failure> {
    let (is_counting, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for number in 0..connections {
        let mut connection = Connection::open(address).await?;
        let (requests, is_counting, is_over) = (requests.clone(), is_counting.clone(), is_over.clone());
        clients.spawn(async move {
            let (mut times, mut answered) = (Vec::new(), 0);
            let mut at = number * requests.len() / connections;
            while !is_over.load(Ordering::Relaxed) {
                at = (at + 1) % requests.len();
                let sent = Instant::now();
                connection.send(&requests[at]).await?;
                answered += 1;
                if is_counting.load(Ordering::Relaxed) {
                    times.push(sent.elapsed().as_secs_f64() * 1e3);
                }
            }
            Ok::<_, Failure>((times, answered))
        });
    }
    time::sleep(WARM_UP.min(time)).await;
    is_counting.store(true, Ordering::Relaxed);
    let started = Instant::now();
    time::sleep(time).await;
    is_over.store(true, Ordering::Relaxed);
    let took = started.elapsed();
    let (mut times, mut answered) = (Vec::new(), 0);
    for (of_client, answered_client) in together::all(clients).await? {
        times.extend(of_client);
        answered += answered_client;
    }
    Ok(Rate {
        answered,
        requests_per_s: times.len() as f64 / took.as_secs_f64(),
        p50_ms: percentile(&mut times, 0.5),
        p99_ms: percentile(&mut times, 0.99),
    })
}
