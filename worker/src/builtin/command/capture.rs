//! What a program writes, in bounded memory.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Read at once, in bytes.
const CHUNK: usize = 8 * 1024;

/// The beginning of an output, up to a limit.
#[derive(Debug)]
pub(super) struct Head {
    bytes: Vec<u8>,
    limit: usize,
}

impl Head {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    /// Reads to the end, or until there is more than the limit: false.
    pub(super) async fn fill(&mut self, from: impl AsyncRead) -> bool {
        let mut from = std::pin::pin!(from.take(self.limit as u64 + 1));
        // What can no longer be read has ended.
        let _ = from.read_to_end(&mut self.bytes).await;
        self.bytes.len() <= self.limit
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The end of an output: the last lines say why a program failed.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    limit: usize,
    cut: u64,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, cut: 0 }
    }

    /// Reads to the end, however far that is.
    pub(super) async fn fill(&mut self, from: impl AsyncRead) {
        let mut from = std::pin::pin!(from);
        let mut chunk = vec![0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            self.add(&chunk[..read]);
        }
    }

    fn add(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        let surplus = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..surplus);
        self.cut += surplus as u64;
    }

    /// As text: what is no UTF-8 is replaced, and what was cut off is counted.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        match self.cut {
            0 => text.trim().to_owned(),
            cut => format!("[{cut} bytes cut] {}", text.trim()).trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_stops_at_its_limit_and_says_so() {
        let mut head = Head::new(3);
        assert!(head.fill(b"abc".as_slice()).await);
        assert_eq!(head.bytes(), b"abc");
        assert!(!Head::new(3).fill(tokio::io::repeat(b'x')).await, "an endless one ends here, too");
    }

    #[tokio::test]
    async fn a_tail_keeps_the_end() {
        let text = async |limit: usize, from: &[u8]| {
            let mut tail = Tail::new(limit);
            tail.fill(from).await;
            tail.text()
        };
        assert_eq!(text(10, b"short\n").await, "short");
        assert_eq!(text(4, b"0123456789").await, "[6 bytes cut] 6789");
        assert_eq!(text(0, b"secret").await, "[6 bytes cut]");
        let long: Vec<u8> = (0..100_000).map(|number| b'0' + (number % 10) as u8).collect();
        assert_eq!(text(3, &long).await, "[99997 bytes cut] 789");
        assert_eq!(
            text(4, "€é".as_bytes()).await,
            "[1 bytes cut] \u{fffd}\u{fffd}é",
            "cut in the middle of a character"
        );
    }
}
