//! What the tests share.

pub(crate) mod aging;
pub(crate) mod gate;
pub(crate) mod harness;
pub(crate) mod invariants;
pub(crate) mod keys;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod sql;
pub(crate) mod tasks;
pub(crate) mod wait;

pub(crate) use harness::Harness;
pub(crate) use server::On;
