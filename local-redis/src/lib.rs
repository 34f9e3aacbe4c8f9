//! A private Redis or Valkey for local runs and tests.
//!
//! [`Installation`] finds the server's program, [`Server`] runs one server from it.
//!
//! A server of this crate
//! - listens on 127.0.0.1 only and has no Unix socket; it asks for a password only when its settings do;
//! - ends with the process that started it, even when that process is killed (see `local_process::Watchdog`);
//! - keeps nothing: it writes no data to disk, and starts empty.
//!
//! Production code never depends on this crate. It installs nothing (`dev/setup.sh` does) and has no client.

mod error;
mod installation;
mod server;

pub use error::Error;
pub use installation::{Installation, Product};
pub use server::Server;
