//! Proof that nothing is lost and nothing is recorded twice: real processes under faults, and a checker of what they saw.
//!
//! - [`history`]: what clients, handlers and the harness saw; [`audit`]: what the database saw

pub mod audit;
pub mod history;
