//! The shape of the database: table definitions, embedded migrations, day partitions, and the `migrate` binary.
//!
//! Decides nothing about tasks: the statements that move them are in the `queue` crate. What is here:
//! - [`tables`]: `table!` definitions for diesel
//! - [`migrate`]: applying the migrations, and checking which version a database has
//! - [`partitions`]: making and listing the day partitions of the insert-only tables
//! - [`roles`]: roles for api and worker that own nothing

pub mod migrate;
pub mod partitions;
pub mod roles;
pub mod tables;
