//! What each operation promises. Every specification runs on the machine's Postgres and on 16 and 18, in a database of its
//! own, and ends with a check of the invariants.

mod attempts;
mod callbacks;
mod cancel;
mod claim;
mod claim_batches;
mod explain;
mod finish;
mod floors;
mod heartbeat;
mod idempotency;
mod inspect;
mod list;
mod overview;
mod partitions;
mod progress;
mod promote;
mod requeue;
mod rescue;
mod retention;
mod retry;
mod strict;
mod submit;
mod unique;
mod watch;

use crate::support::{Harness, On};

/// Runs one specification.
fn run(on: On, specification: impl AsyncFnOnce(&mut Harness)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut harness = Harness::new(on).await;
        specification(&mut harness).await;
        harness.check_invariants().await;
    });
}

/// Makes the tests of a module's specifications. One that is not named here is dead code, which lints refuse.
macro_rules! specifications {
    ($($name:ident),* $(,)?) => {
        specifications!(machine, $crate::support::On::Machine, [$($name),*]);
        specifications!(postgres_16, $crate::support::On::Major(16), [$($name),*]);
        specifications!(postgres_18, $crate::support::On::Major(18), [$($name),*]);
    };
    ($server:ident, $on:expr, [$($name:ident),*]) => {
        mod $server {
            $(
                #[test]
                fn $name() {
                    super::super::run($on, super::$name);
                }
            )*
        }
    };
}
use specifications;
