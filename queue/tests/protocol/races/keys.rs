//! The same key from many sides at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use diesel_async::AsyncPgConnection;
use queue::{
    TaskId,
    cancel::cancel,
    claim::{Floors, claim},
    finish::finish,
    keyed::{How, Outcome, Request, UniqueMode, store},
    promote::promote,
    retention,
    retry::{Retried, retry},
    session,
};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    Harness, On,
    gate::Gate,
    harness::{done, failed, finished, register},
    keys::{answer, how, idempotency, keep, submit, unique},
    random::random,
    tasks::{But, default_lane, several, task},
};

/// Stores as many requests as there are connections, at once; their answers.
async fn together(queue: &Harness, connections: usize, request: impl Fn(usize) -> Request) -> Vec<Outcome> {
    let mut submits = JoinSet::new();
    for number in 0..connections {
        let (mut connection, request) = (queue.connect(session::DURABLE).await, request(number));
        submits.spawn(async move { store(&mut connection, &request, false).await.unwrap() });
    }
    submits.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_with_one_idempotency_key_one_is_stored() {
    let mut queue = Harness::new(On::Machine).await;
    for round in 0..10 {
        let key = format!("key {round}");
        let outcomes = together(&queue, 20, |_| Request::new(several(3, &task()), vec![], idempotency(&key, 1))).await;
        let mut ids = BTreeSet::new();
        let mut stored = 0;
        for outcome in outcomes {
            let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
            ids.insert(answer.tasks.iter().map(|task| task.id).collect::<Vec<_>>());
            stored += usize::from(answer.tasks[0].how == How::Stored);
        }
        assert_eq!((stored, ids.len()), (1, 1));
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_requests_with_one_idempotency_key_one_is_stored_and_the_others_are_refused() {
    let mut queue = Harness::new(On::Machine).await;
    let outcomes =
        together(&queue, 20, |number| Request::new(vec![task()], vec![], idempotency("a", number as u8 % 2))).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Reused)).count();
    assert_eq!(refused, 10, "{outcomes:?}");
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 1);
}

/// Several find the same row expired; one takes it over.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_taken_over_once() {
    let mut queue = Harness::new(On::Machine).await;
    for _ in 0..10 {
        crate::support::sql::run(
            &mut queue.durable,
            "UPDATE taskrow.idempotency_keys SET expires_at = clock_timestamp()",
        )
        .await;
        let outcomes = together(&queue, 10, |_| Request::new(vec![task()], vec![], idempotency("a", 1))).await;
        let stored = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Answered(answer) if answer.tasks[0].how == How::Stored))
            .count();
        assert_eq!(stored, 1, "{outcomes:?}");
        retention::clean_up(&mut queue.durable, Duration::from_secs(1000), 0).await.unwrap();
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 10);
}

/// They wait for the first one's commit, and see then what it has stored.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_tasks_with_one_unique_key_one_is_stored() {
    let mut queue = Harness::new(On::Machine).await;
    for _ in 0..10 {
        let outcomes = together(&queue, 20, |_| Request::new(vec![task()], keep("a"), None)).await;
        let mut by_how: BTreeMap<String, Vec<TaskId>> = BTreeMap::new();
        for outcome in outcomes {
            let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
            let (how, id) = how(&answer);
            by_how.entry(format!("{how:?}")).or_default().push(id);
        }
        assert_eq!((by_how["Stored"].len(), by_how["Kept"].len()), (1, 19));
        assert!(by_how["Kept"].iter().all(|id| *id == by_how["Stored"][0]));
        queue.check_invariants().await;
        queue.cancel(by_how["Stored"][0]).await;
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 10);
}

/// A submit that waits for the key must not judge its new holder by what it saw before.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_key_sees_who_got_it() {
    let mut queue = Harness::new(On::Machine).await;
    let (_, old) = submit(&mut queue.durable, task(), keep("a")).await;
    queue.cancel(old).await;
    let mut gate = Gate::shut(&queue, "SELECT FROM taskrow.unique_keys FOR UPDATE").await;
    let both = async {
        let (mut one, mut two) = (queue.connect(session::DURABLE).await, queue.connect(session::DURABLE).await);
        let submits = async { tokio::join!(submit(&mut one, task(), keep("a")), submit(&mut two, task(), keep("a"))) };
        let open = async {
            gate.has_queue_of(2).await;
            gate.open().await;
        };
        tokio::join!(submits, open).0
    };
    let (one, two) = both.await;
    assert_eq!(one.1, two.1);
    assert_ne!(one.0, two.0);
    queue.check_invariants().await;
}

/// Keys are locked in one order, whatever the order of the tasks.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_share_keys_do_not_deadlock() {
    let mut queue = Harness::new(On::Machine).await;
    for round in 0..20 {
        let outcomes = together(&queue, 8, |number| {
            let mut keys: Vec<_> = (0..100).map(|index| format!("{round} {index}")).collect();
            if number % 2 == 0 {
                keys.reverse();
            }
            let keys = keys.iter().map(|key| unique(key, UniqueMode::Keep)).enumerate().collect();
            Request::new(several(100, &task()), keys, None)
        })
        .await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Answered(_))), "{outcomes:?}");
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_hand_against_a_submit_leaves_one_open_task() {
    let mut queue = Harness::new(On::Machine).await;
    let mut other = queue.connect(session::DURABLE).await;
    for round in 0..100 {
        let (_, old) = submit(&mut queue.durable, task(), keep("a")).await;
        queue.cancel(old).await;
        let (retried, (how, id)) = tokio::join!(retry(&mut other, old), submit(&mut queue.durable, task(), keep("a")));
        match (retried.unwrap(), how) {
            (Retried::Queued(_), How::Kept) => assert_eq!(id, old),
            (Retried::KeyHeld(holder), How::Stored) => assert_eq!(id, holder),
            answers => panic!("{round}: {answers:?}"),
        }
        queue.check_invariants().await;
        queue.cancel(id).await;
    }
}

/// Everything at once on few keys: whatever happens, no key ever has two open tasks.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_keys_leaves_each_with_one_open_task() {
    let mut random = random();
    let mut queue = Harness::new(On::Machine).await;
    let mut storm = JoinSet::new();
    for number in 0..8 {
        let durable = queue.connect(session::DURABLE).await;
        let volatile = queue.connect(session::VOLATILE).await;
        storm.spawn(act(number, durable, volatile, random.fork()));
    }
    while let Some(end) = storm.join_next().await {
        end.unwrap();
        queue.check_invariants().await;
    }
}

async fn act(
    number: usize,
    mut durable: AsyncPgConnection,
    mut volatile: AsyncPgConnection,
    mut random: fastrand::Rng,
) {
    let end = Instant::now() + Duration::from_secs(6);
    let worker = register(&mut durable, &["default"], &["echo"]).await;
    let mut known: Vec<TaskId> = Vec::new();
    while Instant::now() < end {
        let any = (!known.is_empty()).then(|| known[random.usize(..known.len())]);
        match (number, any) {
            // Submitters.
            (0..4, _) if known.is_empty() || random.u8(..3) > 0 => {
                let mut given = several(random.usize(1..=4), &task());
                if random.bool() {
                    given[0] = given[0].clone().after(Duration::from_millis(random.u64(..3)));
                }
                let modes = [UniqueMode::Keep, UniqueMode::Replace];
                let mut keys: Vec<_> = (0..given.len()).collect();
                random.shuffle(&mut keys);
                let keys =
                    keys.iter().map(|key| unique(&key.to_string(), modes[random.usize(..2)])).enumerate().collect();
                // Tasks of shared batches may be replaced in any order: then one of two is told to try again.
                if let Outcome::Answered(answer) =
                    store(&mut durable, &Request::new(given, keys, None), false).await.unwrap()
                {
                    known.extend(answer.tasks.iter().map(|task| task.id));
                }
            }
            (0..4, Some(id)) if random.bool() => drop(cancel(&mut durable, id).await.unwrap()),
            (0..4, Some(id)) => drop(retry(&mut durable, id).await.unwrap()),
            // Workers.
            (4..7, _) => {
                let lanes = [default_lane()];
                let claimed = claim(&mut volatile, worker, random.usize(1..6), 3, &lanes, &mut Floors::default()).await;
                let outcome = if random.bool() { done() } else { failed() };
                let given: Vec<_> = claimed.unwrap().iter().map(|task| finished(task, outcome.clone())).collect();
                finish(&mut durable, worker, &given).await.unwrap();
                promote(&mut volatile).await.unwrap();
            }
            _ => drop(retention::clean_up(&mut durable, Duration::from_secs(1000), 0).await.unwrap()),
        }
    }
}

/// The first one is held up in the middle; the second one does not store its own meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_waits_for_the_first_one() {
    let queue = Harness::new(On::Machine).await;
    let mut gate = Gate::shut(&queue, "LOCK TABLE taskrow.ready IN SHARE MODE").await;
    let (mut one, mut two) = (queue.connect(session::DURABLE).await, queue.connect(session::DURABLE).await);
    let request = || Request::new(vec![task()], vec![], idempotency("a", 1));
    let (first, second) = (request(), request());
    let submits = async { tokio::join!(answer(&mut one, &first), answer(&mut two, &second)) };
    let open = async {
        gate.has_queue_of(2).await;
        gate.open().await;
    };
    let ((first, second), ()) = tokio::join!(submits, open);
    let (first, second) = (how(&first), how(&second));
    assert_eq!(first.1, second.1);
    assert_eq!(BTreeSet::from([format!("{:?}", first.0), format!("{:?}", second.0)]).len(), 2);
}
