//! What api and worker may do, object by object: what the statements of the `queue` crate do, and no more.
//!
//! Where a column stands in parentheses, the others cannot be written. A statement that locks rows (`FOR UPDATE`) needs the right to write to one of
//! their columns; where that is the only reason, the entry says "to lock".

/// The rights on one object.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// The object, as `GRANT .. ON` has it.
    pub on: &'static str,
    api: &'static str,
    worker: &'static str,
}

impl Grant {
    /// The api's rights, as `GRANT` has them; empty: none.
    pub fn api(&self) -> &'static str {
        self.api
    }

    /// A worker's.
    pub fn worker(&self) -> &'static str {
        self.worker
    }
}

const fn on(on: &'static str, api: &'static str, worker: &'static str) -> Grant {
    Grant { on, api, worker }
}

/// Everything that either has a right on. docs/operations.md has the same table.
pub const GRANTS: &[Grant] = &[
    on("SCHEMA taskrow", "USAGE", "USAGE"),
    // Which migrations are applied: readiness.
    on("TABLE public.__diesel_schema_migrations", "SELECT", "SELECT"),
    // A submit with a unique key replaces a payload; a worker makes tasks of callbacks.
    on("TABLE taskrow.records", "SELECT, INSERT, UPDATE (payload)", "SELECT, INSERT"),
    // A retry by hand removes an outcome. Nobody changes one.
    on("TABLE taskrow.outcomes", "SELECT, INSERT, DELETE", "SELECT, INSERT"),
    on("TABLE taskrow.failures", "SELECT, INSERT", "SELECT, INSERT"),
    // Retention, task by task; the update is to lock.
    on("TABLE taskrow.records_default", "", "SELECT, DELETE"),
    on("TABLE taskrow.outcomes_default", "", "SELECT, UPDATE (finished_at), DELETE"),
    on("TABLE taskrow.failures_default", "", "SELECT, DELETE"),
    on("TABLE taskrow.ready", "SELECT, INSERT, UPDATE (mask), DELETE", "SELECT, INSERT, UPDATE (mask), DELETE"),
    // The api asks for cancellations; it neither makes nor ends a lease.
    on("TABLE taskrow.leases", "SELECT, UPDATE (cancelled)", "SELECT, INSERT, UPDATE (mask, cancelled), DELETE"),
    // The worker's update is to lock.
    on("TABLE taskrow.scheduled", "SELECT, INSERT, UPDATE (mask), DELETE", "SELECT, INSERT, UPDATE (mask), DELETE"),
    on("TABLE taskrow.workers", "SELECT", "SELECT, INSERT, UPDATE (heartbeat_at, dead_at), DELETE"),
    on("TABLE taskrow.worker_names", "SELECT", "SELECT, INSERT, UPDATE (gone_at), DELETE"),
    on("TABLE taskrow.queues", "SELECT, INSERT, UPDATE (paused_at, kinds, max_depth, max_age_ms)", "SELECT"),
    on("TABLE taskrow.progress", "SELECT", "SELECT, INSERT, UPDATE (updated_at, attempt, value), DELETE"),
    // Workers remove keys that have expired or are free; their updates are to lock.
    on(
        "TABLE taskrow.idempotency_keys",
        "SELECT, INSERT, UPDATE (created_at, expires_at, request, fingerprint, task_ids)",
        "SELECT, UPDATE (expires_at), DELETE",
    ),
    on("TABLE taskrow.unique_keys", "SELECT, INSERT, UPDATE (task_id)", "SELECT, UPDATE (task_id), DELETE"),
    on("TABLE taskrow.keyed_tasks", "SELECT, INSERT", "SELECT, DELETE"),
    on("TABLE taskrow.callbacks", "SELECT, INSERT, UPDATE (due_at)", "SELECT, UPDATE (due_at), DELETE"),
    on("SEQUENCE taskrow.ready_seq", "USAGE", "USAGE"),
    on("SEQUENCE taskrow.lease_ids", "", "USAGE"),
    on("SEQUENCE taskrow.worker_ids", "", "USAGE"),
    on("FUNCTION taskrow.make_day(date)", "", "EXECUTE"),
    on("FUNCTION taskrow.drop_day(date)", "", "EXECUTE"),
];
