//! The whole system in Redis mode, before a Redis that loses everything, dies and comes back; and with the backend switched under it.

mod parts;
mod store;
#[path = "../support/mod.rs"]
mod support;

mod failover;
mod outage;
mod switch;
