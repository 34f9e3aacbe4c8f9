//! The migrations and the `migrate` binary, against real servers.

mod binary;
mod comments;
mod migrations;
mod partitions;
mod pooler;
mod roles;
mod support;
mod tables;
