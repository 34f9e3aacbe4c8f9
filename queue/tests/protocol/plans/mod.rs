//! What the hot statements read.
//!
//! The statements are taken from the connection that ran them (`pg_prepared_statements`), so what is explained is the very text
//! and the very plan that the processes use, with their session settings.

mod explain;
mod explained;
mod fill;
mod floors;
mod keys;
mod pages;
mod reads;
mod statements;

use queue::session;

use crate::support::{Harness, On, sql};

/// When a connection made its plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planned {
    /// When the tables were empty, and never again: a process that started on the first day.
    WhenEmpty,
    /// Now, with statistics that say the tables are empty.
    ByOldStatistics,
    /// Now, with good statistics.
    ByGoodStatistics,
}

/// A queue with big tables, and connections that planned as said.
async fn big_queue(planned: Planned) -> Harness {
    let mut queue = Harness::new(On::Machine).await;
    // Statistics come when this test says so.
    for table in [
        "ready",
        "leases",
        "scheduled",
        "workers",
        "queues",
        "progress",
        "unique_keys",
        "keyed_tasks",
        "idempotency_keys",
    ] {
        sql::run(&mut queue.durable, &format!("ALTER TABLE taskrow.{table} SET (autovacuum_enabled = off)")).await;
    }
    let partitions = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent::regclass::text ~ 'records$|outcomes$|failures$'";
    for table in sql::lines(&mut queue.durable, partitions).await {
        sql::run(&mut queue.durable, &format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await;
    }
    sql::run(&mut queue.durable, "ANALYZE").await;
    if planned == Planned::WhenEmpty {
        statements::run_each(&mut queue).await;
    }
    fill::fill(&mut queue).await;
    if planned == Planned::ByGoodStatistics {
        sql::run(&mut queue.durable, "ANALYZE").await;
    }
    if planned != Planned::WhenEmpty {
        queue.durable = queue.connect(session::DURABLE).await;
        queue.volatile = queue.connect(session::VOLATILE).await;
        statements::run_each(&mut queue).await;
    }
    queue
}
