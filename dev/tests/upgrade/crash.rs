//! A worker of one release dies, or seems to, and one of the other takes its tasks over.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{database::Database, release::Release, system::System};

/// Found dead soon.
const HASTY: [(&str, &str); 2] = [("WORKER_LEASE_TTL", "3s"), ("WORKER_HEARTBEAT_INTERVAL", "500ms")];
/// As many as a worker runs at once.
const HELD: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn this_release_takes_over_from_a_killed_worker_of_the_previous_one() {
    takes_over(&Release::current(), &Release::previous(), Signal::KILL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_release_takes_over_from_a_killed_worker_of_this_one() {
    takes_over(&Release::previous(), &Release::current(), Signal::KILL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_of_the_previous_release_writes_nothing_late() {
    takes_over(&Release::current(), &Release::previous(), Signal::STOP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_of_this_release_writes_nothing_late() {
    takes_over(&Release::previous(), &Release::current(), Signal::STOP).await;
}

async fn takes_over(rescuer: &Release, victim: &Release, end: Signal) {
    let database = Database::empty().await;
    Release::current().migrates(database.url()).await;
    let mut victim = System::start(victim, database.url(), &HASTY).await;
    let mut ids = Vec::new();
    for _ in 0..HELD {
        ids.push(victim.api.post("/tasks?kind=sleep", &json!({"ms": 5000})).await);
    }
    let leases = "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases";
    database.counts(HELD as i64, leases).await;
    victim.worker.signal(end);
    let mut rescuer = System::start(rescuer, database.url(), &HASTY).await;

    database.settled().await;
    let mut done = database.done_at(2).await;
    if end == Signal::STOP {
        // It finds itself dead and registers anew, which drops what it ran.
        victim.worker.signal(Signal::CONT);
        let others = format!(
            "taskrow.workers WHERE dead_at IS NULL AND id NOT IN ({}, {})",
            victim.worker_id, rescuer.worker_id
        );
        database.counts(1, &format!("SELECT count(*) FROM {others}")).await;
        victim.worker.stop().await;
    } else {
        assert_eq!(victim.worker.ended().await, None, "a signal ended it");
    }
    done.sort_unstable();
    ids.sort_unstable();
    assert_eq!(done, ids, "done at the second attempt");
    let by = format!("SELECT count(*) FROM taskrow.outcomes WHERE worker = {} AND attempt = 2", rescuer.worker_id);
    assert_eq!(database.count(&by).await, HELD as i64, "recorded by the one that took over, and by nobody else");
    assert_eq!(database.count("SELECT count(*) FROM taskrow.outcomes").await, HELD as i64);
    victim.api.stop().await;
    rescuer.stop().await;
}
