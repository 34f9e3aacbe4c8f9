//! Who may do what.

mod keys;
mod operations;
mod queues;
mod rate;
mod reload;
