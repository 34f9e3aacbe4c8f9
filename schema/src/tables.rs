//! `table!` definitions of what the DSL queries touch. The hot statements of the `queue` crate are written as SQL.
//!
//! The columns are documented where they are made: as comments in `migrations/`. A test compares both.
#![allow(missing_docs, reason = "the macro makes a module a table; the database holds the comments")]

diesel::table! {
    /// Worker processes.
    taskrow.workers (id) {
        id -> Int8,
        started_at -> Timestamptz,
        heartbeat_at -> Timestamptz,
        dead_at -> Nullable<Timestamptz>,
        lease_ttl_ms -> Int4,
        concurrency -> Int4,
        name -> Text,
        version -> Text,
        queues -> Array<Text>,
        kinds -> Array<Text>,
    }
}

diesel::table! {
    /// Settings of queues.
    taskrow.queues (name) {
        name -> Text,
        paused_at -> Nullable<Timestamptz>,
        kinds -> Nullable<Array<Text>>,
        max_depth -> Nullable<Int8>,
        max_age_ms -> Nullable<Int8>,
    }
}

diesel::table! {
    /// Migrations that were applied; kept by `diesel_migrations`.
    public.__diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}
