//! What every Taskrow process shares, and nothing about tasks: how it starts, logs, connects, waits and stops.
//!
//! - [`exit`]: exit codes, and how a bad configuration ends (one line, code 64, before any port opens)
//! - [`telemetry`]: logs as text or JSON
//! - [`shutdown`]: SIGTERM and Ctrl-C as a token; the second signal exits at once
//! - [`tasks`]: the one place that spawns background tasks, so that all of them are awaited
//! - [`authorities`]: whose certificates are trusted
//! - [`backoff`]: jittered waits between attempts to reach a dependency
//! - [`command_line`]: what must not stand there
//! - [`database`]: where Postgres is, how to talk to it (TLS, timeouts), connections that mend themselves
//! - [`readiness`]: which dependency is missing, as `/ready` tells it
//! - [`probes`]: the `/live`, `/ready` and `/metrics` routes
//! - [`tokens`]: who may do what, where operators say so
//! - [`url_pattern`]: where clients may have something sent to

pub mod authorities;
pub mod backoff;
pub mod command_line;
pub mod database;
pub mod exit;
pub mod probes;
pub mod readiness;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod tokens;
pub mod url_pattern;
