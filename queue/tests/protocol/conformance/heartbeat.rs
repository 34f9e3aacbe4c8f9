//! Workers: identity and signs of life.

use queue::{
    Status, overview,
    workers::{self, Pulse},
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, ids},
    tasks::name,
};

specifications![
    identities_are_never_reused,
    a_live_worker_hears_nothing_new,
    a_worker_hears_which_of_its_tasks_are_cancelled,
    a_worker_hears_which_of_its_queues_are_paused,
    a_worker_found_dead_is_fenced_for_ever,
    a_heartbeat_revives_until_somebody_looked,
    a_worker_without_leases_leaves_the_list,
    a_worker_with_leases_stays_until_they_are_rescued,
    workers_are_listed_newest_first,
];

fn alive(cancelled: Vec<queue::TaskId>, paused: &[&str]) -> Pulse {
    Pulse::Alive { cancelled, paused: paused.iter().map(|queue| name(queue)).collect() }
}

async fn identities_are_never_reused(queue: &mut Harness) {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10 {
        let worker = queue.worker().await;
        assert!(seen.insert(worker));
        queue.deregister(worker).await;
    }
}

async fn a_live_worker_hears_nothing_new(queue: &mut Harness) {
    queue.submit_plain(3).await;
    let worker = queue.worker().await;
    assert_eq!(queue.heartbeat(worker).await, alive(vec![], &[]));
    queue.claim(worker, 2).await;
    assert_eq!(queue.heartbeat(worker).await, alive(vec![], &[]));
}

async fn a_worker_hears_which_of_its_tasks_are_cancelled(queue: &mut Harness) {
    queue.submit_plain(64).await;
    queue.submit_plain(3).await;
    let [worker, other] = [queue.worker().await, queue.worker().await];
    let claimed = queue.claim(worker, 66).await;
    let others = queue.claim(other, 1).await;
    let asked = [claimed[2].id, claimed[63].id, claimed[64].id];
    for id in asked {
        queue.cancel(id).await;
    }
    queue.cancel(others[0].id).await;
    let Pulse::Alive { mut cancelled, .. } = queue.heartbeat(worker).await else { panic!("fenced") };
    cancelled.sort_unstable();
    assert_eq!(cancelled, asked);
    assert_eq!(queue.heartbeat(other).await, alive(ids(&others), &[]));
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(queue.heartbeat(worker).await, alive(vec![], &[]));
}

async fn a_worker_hears_which_of_its_queues_are_paused(queue: &mut Harness) {
    let worker = queue.worker_of(&["a", "b"], &["echo"]).await;
    for paused in ["a", "c"] {
        overview::pause(&mut queue.durable, &name(paused)).await.unwrap();
    }
    assert_eq!(queue.heartbeat(worker).await, alive(vec![], &["a"]));
    overview::resume(&mut queue.durable, &name("a")).await.unwrap();
    assert_eq!(queue.heartbeat(worker).await, alive(vec![], &[]));
}

async fn a_worker_found_dead_is_fenced_for_ever(queue: &mut Harness) {
    let worker = queue.worker().await;
    queue.bury(worker).await;
    for _ in 0..2 {
        assert_eq!(queue.heartbeat(worker).await, Pulse::Fenced);
        queue.rescue().await;
    }
    assert_eq!(queue.heartbeat(workers::WorkerId(4711)).await, Pulse::Fenced);
}

async fn a_heartbeat_revives_until_somebody_looked(queue: &mut Harness) {
    let id = queue.submit_plain(1).await[0];
    let worker = queue.worker().await;
    queue.claim(worker, 1).await;
    queue.silence(worker).await;
    assert_eq!(queue.heartbeat(worker).await, alive(vec![], &[]));
    assert_eq!(queue.rescue().await, queue::rescue::Rescued::default());
    assert_eq!(queue.status(id).await, Status::Processing);
}

async fn a_worker_without_leases_leaves_the_list(queue: &mut Harness) {
    let worker = queue.worker().await;
    queue.deregister(worker).await;
    assert!(workers::list(&mut queue.durable).await.unwrap().is_empty());
    assert_eq!(queue.heartbeat(worker).await, Pulse::Fenced);
    queue.deregister(worker).await;
}

async fn a_worker_with_leases_stays_until_they_are_rescued(queue: &mut Harness) {
    let id = queue.submit_plain(1).await[0];
    let worker = queue.worker().await;
    queue.claim(worker, 1).await;
    queue.deregister(worker).await;
    assert_eq!(queue.bury(worker).await.returned, 1);
    assert_eq!(queue.status(id).await, Status::Queued);
}

async fn workers_are_listed_newest_first(queue: &mut Harness) {
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(queue.worker().await.0);
    }
    queue.bury(workers::WorkerId(all[1])).await;
    let rows = workers::list(&mut queue.durable).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [all[2], all[1], all[0]]);
    assert_eq!(rows.iter().map(|row| row.dead_at.is_some()).collect::<Vec<_>>(), [false, true, false]);
}
