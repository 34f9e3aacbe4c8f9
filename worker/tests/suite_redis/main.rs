//! The worker's promises again, with tasks told through Redis; and what becomes of them when Redis keeps none of its own.

#[path = "../suite/conformance.rs"]
mod conformance;
#[path = "../suite/support/mod.rs"]
mod support;

// What only this backend promises.
mod access;
mod delivery;
mod entries;
mod idle;
mod outage;
mod products;
mod rollout;
mod server;

const BACKEND: dispatch::Backend = dispatch::Backend::Redis;
