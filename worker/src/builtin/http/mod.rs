//! The kind type `http`: a task is a request to somebody's server, and its answer is the result. The callbacks of the queue itself
//! are delivered by the same code.
//!
//! - `config`: what the operator's file says, checked
//! - `target`: where a task goes: the operator's address, or one that the client names out of those allowed
//! - `guard`: addresses that nobody reaches through a name or an address that a client chose
//! - `client`: connections
//! - `identity`, `signature`, `headers`: what a request says besides its body
//! - `deliver`: one attempt, with `redirect`s
//! - `answer`: what an answer means for the task, with `retry_after`

mod answer;
mod client;
mod config;
mod deliver;
mod guard;
mod headers;
mod identity;
mod redirect;
mod retry_after;
mod signature;
mod target;

pub(super) use self::config::{CallbacksConfig, HttpConfig};
