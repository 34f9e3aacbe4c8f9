//! A server process that runs beside this one: what `local-pg` and `local-redis` share.
//!
//! [`Watchdog`] runs it so that it cannot outlive this process, [`port`] proposes where it may listen, [`Log`] is what it
//! wrote, [`poll`] waits for it. Nothing here knows which server it is.

mod log;
pub mod poll;
pub mod port;
mod watchdog;

pub use log::Log;
pub use watchdog::{Afterwards, Watchdog};
