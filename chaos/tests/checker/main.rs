//! The checker accepts what can happen and rejects what must not, by the right name.

mod actions;
mod world;
