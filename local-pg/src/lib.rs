//! A private Postgres for local runs, tests and benchmarks.
//!
//! [`Installation`] finds the server's programs, [`Server`] runs one server from them, [`Pooler`] a PgBouncer before one, [`testing`] hands out a
//! database per test. The binary `local-pg` runs a command with a throw-away server beside it.
//!
//! A server of this crate
//! - listens on 127.0.0.1 only, has no Unix socket, and lets nobody in without the password it generated;
//! - ends with the process that started it, even when that process is killed (see `local_process::Watchdog`);
//! - runs as user `postgres` or `nobody` when the process is root, because Postgres refuses to run as root.
//!
//! Production code never depends on this crate. It installs nothing (`dev/setup.sh` does) and upgrades no data.

mod account;
mod admin;
mod error;
mod home;
mod initdb;
mod installation;
mod pooler;
mod postmaster;
mod random;
mod server;
pub mod testing;

pub use error::Error;
pub use installation::{Installation, MAJORS};
pub use pooler::Pooler;
pub use server::{Server, StopMode};
