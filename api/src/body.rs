//! Receiving bodies: of a known type, up to a limit, in time, and within the memory that all bodies share.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

use crate::{
    config::HttpArgs,
    problem::{Kind, Problem},
};

/// How much of a body over the limit is read and thrown away, so that a client which sends first and reads then gets to read the
/// answer instead of a broken connection.
const DISCARD_LIMIT: usize = 8 << 20;

/// What a body's content type says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`, or any type with `+json`.
    Json,
    /// `application/x-ndjson`, `application/jsonl`: a JSON value a line.
    Lines,
}

/// The rules for bodies, shared by all requests.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    memory: Arc<Semaphore>,
    patience: Duration,
}

/// A body, and the memory that is reserved for it as long as it lives.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl Format {
    /// Reads the content type. None: neither.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        let text = headers.get(header::CONTENT_TYPE)?.to_str().ok().filter(|_| !encoded)?;
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/jsonl" => Some(Self::Lines),
            other if other.contains('/') && other.ends_with("+json") => Some(Self::Json),
            _ => None,
        }
    }
}

impl Bodies {
    pub(crate) fn new(args: &HttpArgs) -> Self {
        Self { memory: Arc::new(Semaphore::new(args.body_memory.bytes())), patience: *args.request_timeout }
    }

    /// Receives a body of at most `limit` bytes.
    pub(crate) async fn receive(&self, body: Body, limit: usize) -> Result<Received, Problem> {
        let announced = body.size_hint().lower();
        if announced > (limit + DISCARD_LIMIT) as u64 {
            return Err(too_large(limit));
        }
        match time::timeout(self.patience, self.collect(body, limit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Problem::new(
                Kind::RequestTimeout,
                format!("the body did not arrive within {}", humantime::format_duration(self.patience)),
            )),
        }
    }

    async fn collect(&self, mut body: Body, limit: usize) -> Result<Received, Problem> {
        let mut received = Received { bytes: Vec::new(), memory: None };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::new(Kind::MalformedRequest, "the body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if received.bytes.len() + data.len() > limit {
                discard(body).await;
                return Err(too_large(limit));
            }
            self.reserve(&mut received, data.len())?;
            received.push(&data, body.size_hint().lower());
        }
        Ok(received)
    }

    /// Never waits: two half-received bodies that wait for each other's memory would wait for ever.
    fn reserve(&self, received: &mut Received, bytes: usize) -> Result<(), Problem> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.memory)
            .try_acquire_many_owned(permits)
            .map_err(|_| Problem::new(Kind::Busy, "too many bodies are being received"))?;
        match &mut received.memory {
            Some(memory) => memory.merge(permit),
            None => received.memory = Some(permit),
        }
        Ok(())
    }
}

impl Received {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds data; `expected` more is about to come, if the client told.
    fn push(&mut self, data: &Bytes, expected: u64) {
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(data.len() + usize::try_from(expected).unwrap_or_default());
        }
        self.bytes.extend_from_slice(data);
    }
}

async fn discard(mut body: Body) {
    let mut left = DISCARD_LIMIT;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::PayloadTooLarge, format!("the body is over the limit of {limit} bytes"))
        .with("limit_bytes", limit)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn content_types_are_told_apart() {
        for (text, format) in [
            ("application/json", Some(Format::Json)),
            ("Application/JSON; charset=utf-8", Some(Format::Json)),
            ("application/cloudevents+json", Some(Format::Json)),
            ("application/x-ndjson", Some(Format::Lines)),
            ("application/jsonl", Some(Format::Lines)),
            ("text/plain", None),
            ("application/x-www-form-urlencoded", None),
            ("+json", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(Format::of(&headers), format, "{text}");
        }
        assert_eq!(Format::of(&HeaderMap::new()), None);
    }

    fn bodies(memory: usize) -> Bodies {
        Bodies { memory: Arc::new(Semaphore::new(memory)), patience: Duration::from_secs(5) }
    }

    #[tokio::test]
    async fn limits_hold_to_the_byte() {
        let bodies = bodies(1000);
        let received = bodies.receive(Body::from("12345"), 5).await.unwrap();
        assert_eq!(received.bytes(), b"12345");
        let problem = bodies.receive(Body::from("123456"), 5).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::PayloadTooLarge);
    }

    #[tokio::test]
    async fn bodies_share_memory_and_give_it_back() {
        let bodies = bodies(10);
        let first = bodies.receive(Body::from("12345678"), 100).await.unwrap();
        assert_eq!(bodies.receive(Body::from("123"), 100).await.unwrap_err().kind(), Kind::Busy);
        drop(first);
        assert!(bodies.receive(Body::from("123"), 100).await.is_ok());
        assert_eq!(bodies.memory.available_permits(), 10);
    }
}
