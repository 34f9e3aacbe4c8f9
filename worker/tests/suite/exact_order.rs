//! The order of the table, exactly. Redis tells no more than three urgencies apart.

use crate::conformance::order::run_by_priority;

#[tokio::test(flavor = "multi_thread")]
async fn every_priority_counts() {
    run_by_priority(&[0, -100, 7, 100, -7]).await;
}
