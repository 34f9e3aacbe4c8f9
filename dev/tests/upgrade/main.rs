//! This release and the previous one on one database: the real processes of both.
//!
//! `migrations/previous-release` says which one that is, and `make previous` builds it.

mod crash;
#[path = "../support/eventually.rs"]
mod eventually;
mod operations;
mod releases;
mod rollback;
mod rollout;
mod schema;
mod support;
