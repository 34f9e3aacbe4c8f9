//! No secret shows: not in logs at their most talkative, not in the last line of a process, not in an answer, a metric or `ps`.
//!
//! The real binaries, and what goes wrong with passwords. (What handlers know of secrets: `worker/tests/suite/http/secrets.rs`.)

#[path = "../support/eventually.rs"]
mod eventually;
mod evidence;
mod exits;
mod failures;
mod lives;
mod servers;
mod support;
