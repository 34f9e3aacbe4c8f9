//! Where a server may listen.

use std::iter;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below the range from which systems give ports to outgoing connections, so that none of those can take the port while
/// the server restarts.
const PORTS: Range<u16> = 20_000..32_000;

/// How many ports are looked at before giving up.
const TRIES: usize = 50;

/// Ports of 127.0.0.1 that nothing listens on now, at random. Somebody may still be faster, which the server then finds
/// out: hence more than one, 50 at most.
pub fn free() -> impl Iterator<Item = u16> {
    iter::repeat_with(|| fastrand::u16(PORTS))
        .take(TRIES)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}
