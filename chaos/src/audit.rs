//! What the database saw: rows that triggers wrote in the transactions that changed leases, outcomes, and the like; and what is there at the end.
//!
//! The triggers are in `audit.sql`. They know the tables and none of the queue's statements, and they add; they change nothing.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::history::Status;

/// One change, committed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Row {
    /// Rises. Two changes of one lease, or of two leases of one task, have the order in which they were made, because each locks what it changes.
    pub seq: i64,
    /// Changes of one transaction share it.
    pub transaction: i64,
    /// The database's clock, in microseconds since 1970.
    pub at: i64,
    /// What changed.
    #[serde(flatten)]
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Tasks were claimed: a lease began. A lease is named by id, worker and batch together: its id alone may come twice after a crash of Postgres.
    Leased {
        /// Its id.
        lease: i64,
        /// Whose.
        worker: i64,
        /// The batch: the tasks' ids without their low 6 bits.
        batch: Uuid,
        /// A bit per task: the place in the batch is the low 6 bits of the id.
        mask: i64,
        /// Which attempt this is for them.
        attempt: i16,
        /// How many they may have.
        max_attempts: i16,
        /// From which queue.
        queue: String,
    },
    /// Tasks left a lease, which goes on for the others; or one was marked as cancelled, and the mask stays.
    LeaseShrunk {
        /// Its id.
        lease: i64,
        /// Whose.
        worker: i64,
        /// Its batch.
        batch: Uuid,
        /// What is left.
        mask: i64,
    },
    /// A lease ended; its last tasks left it.
    LeaseGone {
        /// Its id.
        lease: i64,
        /// Whose.
        worker: i64,
        /// Its batch.
        batch: Uuid,
    },
    /// An outcome was written.
    Outcome {
        /// Of which task.
        task: Uuid,
        /// Which one.
        status: Status,
        /// By whom; none: cancelled while it waited.
        worker: Option<i64>,
        /// Attempts burnt.
        attempt: i16,
        /// The execution that the result names, of a task of kind `probe` that is done.
        execution: Option<Uuid>,
    },
    /// An outcome was removed or changed: never in a run of this harness.
    OutcomeTouched {
        /// Of which task.
        task: Uuid,
    },
    /// Tasks wait for a time: submitted so, or before their next attempt.
    Scheduled {
        /// Their batch.
        batch: Uuid,
        /// Which of it.
        mask: i64,
        /// Not before, by the database's clock, in microseconds since 1970.
        run_at: i64,
    },
    /// A worker was found dead: from here on its leases count no more.
    Dead {
        /// Which.
        worker: i64,
    },
}

/// A task as it stands at the end of the run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Task {
    /// Its id.
    pub id: Uuid,
    /// From the payload; see [`crate::history::Submit::tasks`]. None: not one of the harness.
    pub name: Option<u64>,
    /// When it was stored, by the database's clock, in microseconds since 1970.
    pub created_at: i64,
    /// Attempts at most.
    pub max_attempts: i16,
    /// How it ended; none: it is still open.
    pub outcome: Option<Ended>,
    /// In how many rows of ready, leases and scheduled it stands.
    pub places: u8,
}

/// An outcome as it stands at the end.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Ended {
    /// Which.
    pub status: Status,
    /// By whom.
    pub worker: Option<i64>,
    /// Attempts burnt.
    pub attempt: i16,
    /// See [`Change::Outcome`].
    pub execution: Option<Uuid>,
}

/// An idempotency key as it stands at the end.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Key {
    /// The client's.
    pub key: String,
    /// What it stands for.
    pub tasks: Vec<Uuid>,
}
