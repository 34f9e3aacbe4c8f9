//! What the tests of this crate share.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use local_redis::Installation;

const LIMIT: Duration = Duration::from_secs(30);

/// One installation of every product there is.
pub(crate) fn installations() -> Vec<Installation> {
    let mut products = HashSet::new();
    let found: Vec<_> = Installation::all().filter(|found| products.insert(found.product())).collect();
    assert!(!found.is_empty(), "{}", local_redis::Error::NotFound);
    found
}

/// A connection that speaks just enough of the protocol for these tests.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(LIMIT)).expect("set a timeout");
        Self(BufReader::new(stream))
    }

    /// Sends a command whose answer will be read by [`answer`](Self::answer).
    pub(crate) fn send(&mut self, command: &str) {
        write!(self.0.get_mut(), "{command}\r\n").expect("send");
    }

    /// An answer of one line, with its type, or the text of a bulk string.
    pub(crate) fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let Some(length) = line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) else {
            return Ok(line.to_owned());
        };
        let mut text = vec![0; length + 2];
        self.0.read_exact(&mut text)?;
        Ok(String::from_utf8_lossy(&text[..length]).into_owned())
    }

    /// Whether an answer is there now.
    pub(crate) fn has_answer(&mut self) -> bool {
        let stream = self.0.get_ref();
        stream.set_nonblocking(true).expect("unblock");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("block");
        peeked.is_ok_and(|length| length > 0)
    }
}

/// The answer to one command.
pub(crate) fn ask(address: &str, command: &str) -> String {
    let mut client = Client::connect(address);
    client.send(command);
    client.answer().expect(command)
}

/// Waits until `condition` holds, 30 s at most.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether something accepts connections there.
pub(crate) fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}
