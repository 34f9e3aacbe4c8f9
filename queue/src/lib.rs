//! The queue protocol on Postgres: the only home of queue SQL.
//!
//! Guarantee: at-least-once execution, exactly one recorded outcome per task.
//!
//! What a task is:
//! - [`id`]: task ids and batches; [`mask`]: which tasks of a batch are meant
//! - [`task`]: what is submitted, and its limits; [`json`]: which JSON Postgres can hold
//!
//! What can be done with it, each one statement (or a few, said where) and each on a connection the caller owns:
//! - [`submit`](mod@submit), [`claim`](mod@claim), [`finish`](mod@finish), [`requeue`](mod@requeue)
//! - [`keyed`]: submit once, by an idempotency key or a unique key
//! - [`workers`]: register, heartbeat, deregister; [`rescue`]: give a dead worker's leases back
//! - [`promote`](mod@promote): what is scheduled and due becomes ready
//! - [`cancel`](mod@cancel), [`retry`](mod@retry): by hand
//! - [`callbacks`]: telling a URL that a task has ended
//! - [`inspect`]: tasks by id, pages of tasks; [`watch`]: tasks by id again and again; [`explain`](mod@explain): why a task is where it is;
//!   [`overview`]: queues; [`progress`]
//! - [`strict`]: queues that accept some kinds only; [`admission`]: queues that take no more while too much waits
//! - [`retention`]: drop old days
//!
//! How processes hear of it: [`wakeup`], and [`ready`] batches told by name. Hints only: lost, late or doubled ones change latency, never
//! results.

mod statement;

pub mod admission;
pub mod callbacks;
pub mod cancel;
pub mod claim;
pub mod explain;
pub mod finish;
pub mod id;
pub mod inspect;
pub mod json;
pub mod keyed;
pub mod mask;
pub mod overview;
pub mod progress;
pub mod promote;
pub mod ready;
pub mod requeue;
pub mod rescue;
pub mod retention;
pub mod retry;
pub mod session;
pub mod strict;
pub mod submit;
pub mod task;
pub mod wakeup;
pub mod watch;
pub mod worker_names;
pub mod workers;

pub use crate::{
    id::{BatchId, TaskId},
    json::Json,
    mask::Mask,
    ready::ReadyBatch,
    task::{Lane, NewTask, Status},
};
