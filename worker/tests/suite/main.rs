//! The worker's promises, against real Postgres servers, real processes and a network that breaks. Backend: Postgres alone.

#[path = "conformance.rs"]
mod conformance;
mod support;

// What does not depend on the backend.
mod access;
mod command;
mod configuration;
mod email;
mod finisher;
mod http;
mod listener;
mod login;
mod partitions;

// What only this backend promises.
mod exact_order;
mod idle;

const BACKEND: dispatch::Backend = dispatch::Backend::Postgres;
