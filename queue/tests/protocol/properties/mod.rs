//! Random inputs and random histories. A failure prints its smallest case and keeps its seed in `regressions/`, which is
//! committed and tried first from then on.

mod json;
mod keys;
mod masks;
mod model;
mod state_machine;
mod steps;

use proptest::test_runner::{Config, FileFailurePersistence};

/// So many cases, with the seeds of failures kept in a file.
fn config(cases: u32, regressions: &'static str) -> Config {
    Config {
        cases,
        max_shrink_iters: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..Config::default()
    }
}

/// Where failures of a property are kept.
macro_rules! regressions {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protocol/properties/regressions/", $name, ".txt")
    };
}
use regressions;
