//! What a connection is at, and since when: written by the connection on its way, by atomic stores only, and read by others.

use std::{
    io::IoSlice,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of the next request has come.
    Quiet,
    /// Some of its head has.
    Head,
    /// A request is received, worked on or answered.
    Busy,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Where the clock starts.
    started: Instant,
    /// Milliseconds since then, times four, and the phase.
    state: AtomicU64,
    has_served: AtomicBool,
}

impl Pulse {
    pub(super) fn new(started: Instant) -> Self {
        let pulse = Self { started, state: AtomicU64::new(0), has_served: AtomicBool::new(false) };
        pulse.set(Phase::Quiet);
        pulse
    }

    /// The phase, and since when on the clock.
    pub(super) fn read(&self) -> (Phase, Duration) {
        let state = self.state.load(Ordering::Relaxed);
        let phase = match state & 3 {
            0 => Phase::Quiet,
            1 => Phase::Head,
            _ => Phase::Busy,
        };
        (phase, Duration::from_millis(state >> 2))
    }

    /// Whether nothing is owed to the client: no request is under way, and none ever was or the next one has begun. (A connection between two requests
    /// may still have to send the end of an answer: hyper knows when to close it.)
    pub(super) fn owes_nothing(&self) -> bool {
        match self.read().0 {
            Phase::Head => true,
            Phase::Quiet => !self.has_served.load(Ordering::Relaxed),
            Phase::Busy => false,
        }
    }

    /// The head of a request is complete.
    pub(super) fn busy(&self) {
        self.has_served.store(true, Ordering::Relaxed);
        self.set(Phase::Busy);
    }

    /// The client sent something: the head of a request, unless one is under way.
    pub(super) fn read_some(&self) {
        if self.read().0 == Phase::Quiet {
            self.set(Phase::Head);
        }
    }

    /// Only the connection's own task writes, so no write is lost.
    fn set(&self, phase: Phase) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX >> 2);
        self.state.store(since << 2 | phase as u64, Ordering::Relaxed);
    }
}

/// The body of an answer; the request is under way until it is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    body: Body,
    pulse: Arc<Pulse>,
}

impl Answering {
    pub(super) fn new(body: Body, pulse: Arc<Pulse>) -> Self {
        Self { body, pulse }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.pulse.set(Phase::Quiet);
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells the pulse when something comes.
#[derive(Debug)]
pub(super) struct Listening<S> {
    stream: S,
    pulse: Arc<Pulse>,
}

impl<S> Listening<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pulse.read_some();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
