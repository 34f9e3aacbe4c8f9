//! Kinds that the `worker` binary runs without anybody writing Rust: two for trying things out, and those of the operator's file.

mod command;
mod email;
mod fields;
mod file;
mod http;
mod secret;
mod trial;

pub use self::{command::launch, file::HandlersFile, trial::with_builtin_handlers};
