//! A worker's row against what happens in its name.

use queue::{
    Status,
    claim::{Floors, claim},
    session,
    workers::{Pulse, deregister, heartbeat},
};

use crate::support::{Harness, On, gate::Gate, harness::silence, tasks::default_lane};

/// Makes the next lease wait: its id is taken, for now.
const TAKE_NEXT_LEASE: &str = "
    INSERT INTO taskrow.leases (id, worker, seq, mask, timeout_ms, rank, attempt, max_attempts, crashes, batch, queue, kind)
    SELECT last_value + is_called::integer, 0, 0, 1, 1, 0, 1, 1, 0, '00000000-0000-0000-0000-000000000000', 'q', 'k'
    FROM taskrow.lease_ids";

/// A claim holds the batches it was asked to take and no other, and another claim passes by them.
#[tokio::test]
async fn a_claim_passes_by_what_another_claim_holds() {
    let mut queue = Harness::new(On::Machine).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.extend(queue.submit_plain(1).await);
    }
    let [one, other] = [queue.worker().await, queue.worker().await];
    let mut gate = Gate::shut(&queue, TAKE_NEXT_LEASE).await;
    let lanes = [default_lane()];
    let (mut floors, mut no_floors) = (Floors::default(), Floors::default());
    let (held, passed) = tokio::join!(claim(&mut queue.volatile, one, 3, 3, &lanes, &mut floors), async {
        gate.has_queue_of(1).await;
        let passed = claim(&mut queue.durable, other, 100, 100, &lanes, &mut no_floors).await;
        gate.open().await;
        passed
    });
    let ids = |claimed: Vec<queue::claim::Claimed>| {
        let mut ids: Vec<_> = claimed.into_iter().map(|task| task.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(held.unwrap()), all[..3]);
    assert_eq!(ids(passed.unwrap()), all[3..]);
}

/// A worker stops while a claim it gave up still runs: the claim's connection was dropped, not its statement.
#[tokio::test]
async fn no_lease_is_left_to_a_worker_that_left_the_list() {
    let mut queue = Harness::new(On::Machine).await;
    let id = queue.submit_plain(1).await[0];
    let worker = queue.worker().await;
    let mut gate = Gate::shut(&queue, TAKE_NEXT_LEASE).await;
    let lanes = [default_lane()];
    let mut floors = Floors::default();
    let given_up = claim(&mut queue.volatile, worker, 1, 1, &lanes, &mut floors);
    let (claimed, ()) = tokio::join!(given_up, async {
        gate.has_queue_of(1).await;
        let (left, ()) = tokio::join!(deregister(&mut queue.durable, worker), async {
            gate.has_queue_of(2).await;
            gate.open().await;
        });
        left.unwrap();
    });
    assert_eq!(claimed.unwrap().len(), 1);
    queue.check_invariants().await;
    queue.bury(worker).await;
    assert_eq!(queue.status(id).await, Status::Queued);
}

/// A claim that runs when its worker is found silent: either the worker is spared this time, or the claim gets nothing.
#[tokio::test]
async fn no_lease_is_left_to_a_worker_found_dead_while_it_claimed() {
    let mut queue = Harness::new(On::Machine).await;
    let id = queue.submit_plain(1).await[0];
    let worker = queue.worker().await;
    queue.silence(worker).await;
    let mut gate = Gate::shut(&queue, TAKE_NEXT_LEASE).await;
    let lanes = [default_lane()];
    let mut floors = Floors::default();
    let (claimed, ()) = tokio::join!(claim(&mut queue.volatile, worker, 1, 1, &lanes, &mut floors), async {
        gate.has_queue_of(1).await;
        assert!(queue::rescue::rescue(&mut queue.durable).await.unwrap().workers.is_empty());
        gate.open().await;
    });
    assert_eq!(claimed.unwrap().len(), 1);
    assert_eq!(queue.rescue().await.returned, 1);
    assert_eq!(queue.stand(id).await, (Status::Queued, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_against_rescuers() {
    let mut queue = Harness::new(On::Machine).await;
    let mut rescuer = queue.connect(session::DURABLE).await;
    let lanes = [default_lane()];
    for _ in 0..200 {
        let id = queue.submit_plain(1).await[0];
        let worker = queue.worker().await;
        silence(&mut queue.durable, worker).await;
        let mut floors = Floors::default();
        let (claimed, rescued) = tokio::join!(
            claim(&mut queue.volatile, worker, 1, 1, &lanes, &mut floors),
            queue::rescue::rescue(&mut rescuer)
        );
        // Whoever comes first; a rescuer that came in the middle spared the worker, and the next pass finds it.
        claimed.unwrap();
        rescued.unwrap();
        queue.rescue().await;
        assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
        assert_eq!(queue.status(id).await, Status::Queued);
        queue.cancel(id).await;
    }
    queue.check_invariants().await;
}

/// A heartbeat and a rescuer at once: whoever hears "alive" keeps its leases.
#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_against_rescuers() {
    let mut queue = Harness::new(On::Machine).await;
    let mut rescuer = queue.connect(session::DURABLE).await;
    for _ in 0..200 {
        let id = queue.submit_plain(1).await[0];
        let worker = queue.worker().await;
        queue.claim(worker, 1).await;
        queue.silence(worker).await;
        let (pulse, rescued) =
            tokio::join!(heartbeat(&mut queue.volatile, worker), queue::rescue::rescue(&mut rescuer));
        let is_alive = matches!(pulse.unwrap(), Pulse::Alive { .. });
        let was_found_dead = rescued.unwrap().workers == [worker.0];
        // A heartbeat that came before the rescuer's mark does not help once the mark was decided: the next one tells.
        let still_alive = matches!(queue.heartbeat(worker).await, Pulse::Alive { .. });
        assert_eq!(still_alive, !was_found_dead);
        assert!(is_alive || was_found_dead);
        let expected = if was_found_dead { Status::Queued } else { Status::Processing };
        assert_eq!(queue.status(id).await, expected);
        queue.bury(worker).await;
        queue.cancel(id).await;
    }
    queue.check_invariants().await;
}
