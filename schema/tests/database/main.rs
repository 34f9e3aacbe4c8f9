//! The migrations and the `migrate` binary, against real servers.

mod binary;
mod comments;
mod migrations;
mod partitions;
mod support;
mod tables;
