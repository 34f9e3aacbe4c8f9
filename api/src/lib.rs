//! The HTTP API: validates, submits, reads. It runs no task and holds no state that matters: any number of replicas may run.
//!
//! Guarantees:
//! - A 201 is answered after the commit, never before: what was acknowledged is stored.
//! - No input leads to a 500, and no message of the database leads to a client.
//! - Everything that waits has a timeout and everything that grows a bound: connections, bodies, the submit buffer.
//! - The port opens before Postgres is there; until it is, `/ready` and every route that needs it answer 503, and afterwards all
//!   recovers by itself.
//!
//! In reading order:
//! - [`config`]: flags and environment
//! - [`Api`]: bind, run, stop in order; `serve`: connections
//! - [`router()`]: the route table and the middleware stack; `routes`: a file per route
//! - [`problem`]: every error a client can see, as RFC 9457
//! - `access`: who may do what
//! - `query`, `options`, `body`, `batch`: from a request to tasks; `shapes`: what the document says of them
//! - `idempotency`, `keyed`: submits that carry a key
//! - [`submitter`]: group commit; `reads`: group reads; `waits`: clients that wait; `store`: everything else that is asked of Postgres
//! - `strict`: queues that accept some kinds only; `admission`: queues that take no more; `sentence`: why a task is where it is, in words
//! - `health`: what `/ready` tells; [`metrics`]: what `/metrics` tells
//! - [`token_command`]: makes tokens
//! - [`load_test`]: a client that puts load on a running API

mod access;
mod admission;
mod api;
mod batch;
mod body;
pub mod config;
mod etag;
mod health;
mod idempotency;
mod keyed;
pub mod load_test;
pub mod metrics;
mod middleware;
mod openapi;
mod options;
mod overview;
pub mod problem;
mod query;
mod reads;
mod router;
mod routes;
mod sentence;
mod serve;
mod shapes;
mod state;
mod store;
mod strict;
pub mod submitter;
pub mod token_command;
mod waits;

pub use crate::{api::Api, config::ApiArgs, router::router, state::AppState};
