//! The checker accepts what can happen and rejects what must not, by the right name.

mod actions;
mod files;
mod forged;
mod mutations;
mod world;
