//! Peers that send what no client should: broken requests, broken framing, half of everything, and chance.
//!
//! Whatever comes, an answer is a problem or an empty refusal of the connection, never a 5xx; what was accepted reads back byte for byte,
//! nothing else is stored, and others are served.

mod connections;
mod exchange;
mod framing;
mod heads;
mod payloads;
mod requests;

use std::time::Duration;

use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use crate::support::{App, Setup};

/// Where failures of a property are kept.
macro_rules! regressions {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/hostile/regressions/", $name, ".txt")
    };
}
use regressions;

/// An API that gives up soon on what does not come, and where nobody waits for a task.
async fn impatient() -> App {
    let setup = Setup::with(|args| {
        args.http.head_timeout = Duration::from_millis(300).into();
        args.http.request_timeout = Duration::from_secs(2).into();
        args.wait.waiters = 0;
    });
    setup.start().await
}

/// So many cases; a failure prints its smallest one and keeps its seed in a file, to be committed.
fn runner(cases: u32, regressions: &'static str) -> TestRunner {
    TestRunner::new(Config {
        cases,
        max_shrink_iters: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..Config::default()
    })
}
