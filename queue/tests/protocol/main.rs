//! The queue protocol against real servers.
//!
//! - `conformance`: what each operation promises, once per Postgres major version
//! - `properties`: masks against a naive model; random histories against a model of the whole queue
//! - `races`: many connections at once
//! - `plans`: what the hot statements read, with big tables and with good, old and no statistics
//!
//! `support` holds what they share: databases, the operations, the invariants.

mod conformance;
mod plans;
mod properties;
mod races;
mod support;
