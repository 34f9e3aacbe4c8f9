//! Bytes to the server, and what it answers.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longest exchange: none may go on for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// Sends bytes and reads until the server ends the connection: its answers, in order.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<Reply> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.split();
    let mut answer = Vec::new();
    // The server may answer and close before it has everything, and a reset is as good as an end.
    let both = async { tokio::join!(to.write_all(bytes), from.read_to_end(&mut answer)) };
    let _ = timeout(LIMIT, both).await.expect("the server ends every exchange");
    replies(&answer)
}

/// The answers in what came.
pub(super) fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let mut reply = Reply { status: status.unwrap_or_else(|| panic!("no answer: {head}")), head, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        // An interim answer has no body.
        let length: usize = if reply.status < 200 { 0 } else { length };
        bytes = &bytes[end + 4..];
        assert!(bytes.len() >= length, "cut short: {reply:?}");
        reply.body = bytes[..length].to_vec();
        bytes = &bytes[length..];
        replies.push(reply);
    }
    assert!(bytes.is_empty(), "{:?} follows the last answer", String::from_utf8_lossy(bytes));
    replies
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether an answer is one that broken requests may get: no 5xx, and errors are problems, or empty where there was no request yet.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_refusal = [400, 414, 431].contains(&self.status) && self.body.is_empty();
        let is_problem = || {
            self.header("content-type") == Some("application/problem+json")
                && self.json()["status"] == self.status
                && self.json()["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/"))
        };
        match self.status {
            ..400 => Ok(()),
            400..500 if is_refusal && self.header("content-length") == Some("0") => Ok(()),
            400..500 if !is_refusal && is_problem() => Ok(()),
            _ => Err(format!("{self:?}")),
        }
    }
}
