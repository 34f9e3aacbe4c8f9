//! The crate by its interface, before real servers: Redis, and Valkey where they might differ.

mod support;

mod access;
mod delivery;
mod entries;
mod outage;
mod teamwork;
