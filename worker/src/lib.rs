//! Runs tasks: a library with which a Rust program registers handlers, and the `worker` binary with the built-in ones.
//!
//! ```no_run
//! use worker::{Context, TaskError, Worker, WorkerConfig};
//!
//! async fn resize(task: Context) -> Result<serde_json::Value, TaskError> {
//!     let order: serde_json::Value = task.parse()?;
//!     task.progress(&serde_json::json!({"percent": 50}));
//!     Ok(serde_json::json!({"resized": order["url"]}))
//! }
//!
//! # async fn run(database: service::database::Database, stop: tokio_util::sync::CancellationToken) {
//! Worker::builder().handler("resize", resize).build(WorkerConfig::default(), database).run(stop).await;
//! # }
//! ```
//!
//! At-least-once execution, exactly one recorded outcome: a handler may run twice for one task (after a crash), so it should be
//! idempotent; [`Context::id`] is the key. It should not block its thread
//! (`tokio::task::spawn_blocking` may): handlers have threads of their own, as many as there are processors, and one that is blocked is missing to the
//! others; a time limit, a cancellation or a stop reaches a handler at its next `await` only. When all are blocked for as long as a lease lasts, the worker
//! gives up what runs and starts over with new ones.
//!
//! One process has one claimer, N slots, one finisher and one heartbeat:
//! ```text
//! claimer -> buffer -> slots -> finisher          heartbeat: I live; what was cancelled, what is paused?
//!    ^ wakeups, polls             |               steward: promotes what is due, rescues dead workers' leases
//!    '------- room ---------------'
//! ```
//! Stop: not ready -> stop claiming -> give back what has not started -> finish what runs, within the budget -> give back
//! what does not finish -> flush -> off the list. Crash: other workers give its leases back.

pub mod config;
pub mod handler;
pub mod metrics;
pub mod retry;

mod buffer;
mod builtin;
mod claimer;
mod cleanup;
mod finisher;
mod heartbeat;
mod held;
mod incarnation;
mod partitioner;
mod prefetch;
mod process;
mod progress;
mod running;
mod slots;
mod stall;
mod steward;
mod threads;
mod totals;
mod worker;

pub use crate::{
    builtin::{HandlersFile, launch, with_builtin_handlers},
    cleanup::{CleanupArgs, clean_up},
    config::{WorkerArgs, WorkerConfig},
    handler::{Context, Handler, TaskError},
    process::Process,
    worker::{Builder, Worker},
};
