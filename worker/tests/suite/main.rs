//! The worker's promises, against real Postgres servers, real processes and a network that breaks.

mod support;

mod configuration;
mod crash;
mod fencing;
mod handler;
mod idle;
mod interruption;
mod login;
mod network;
mod order;
mod pause;
mod prefetch;
mod restart;
mod schedule;
mod signals;
mod stop;
mod wakeups;
