//! Submitting with an idempotency key.

use std::time::Duration;

use queue::{
    Status,
    keyed::{Answered, How, Idempotency, Outcome, Request, store},
};

use super::specifications;
use crate::support::{
    Harness,
    harness::done,
    keys::{answer, how, idempotency, keep, replace, submit},
    sql,
    tasks::{But, several, task},
};

specifications![
    a_repeated_request_gets_the_first_ones_tasks,
    a_repeated_request_is_told_where_its_tasks_stand_now,
    another_request_with_the_key_is_refused,
    keys_of_other_scopes_are_others,
    an_expired_key_counts_as_absent,
    an_earlier_try_that_had_committed_is_found,
    a_key_outlives_its_tasks,
    what_a_unique_key_led_to_is_remembered,
    a_large_batch_is_stored_once,
    a_transaction_that_does_not_end_is_not_waited_for_long,
];

async fn a_repeated_request_gets_the_first_ones_tasks(queue: &mut Harness) {
    let given = || vec![task().payload("1"), task().after(Duration::from_secs(3600)), task().payload("3").priority(7)];
    let first = answer(&mut queue.durable, &Request::new(given(), vec![], idempotency("a", 1))).await;
    assert_eq!((first.ready.len(), first.is_something_later), (2, true));
    let stand: Vec<_> = first.tasks.iter().map(|task| (task.how, task.status, task.priority)).collect();
    assert_eq!(
        stand,
        [(How::Stored, Status::Queued, 0), (How::Stored, Status::Scheduled, 0), (How::Stored, Status::Queued, 7)]
    );
    for _ in 0..2 {
        let again = answer(&mut queue.durable, &Request::new(given(), vec![], idempotency("a", 1))).await;
        let expected: Vec<_> = first.tasks.iter().map(|task| Answered { how: How::Replayed, ..*task }).collect();
        assert_eq!(again.tasks, expected);
        assert!(again.ready.is_empty() && !again.is_something_later, "{again:?}");
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 3);
}

async fn a_repeated_request_is_told_where_its_tasks_stand_now(queue: &mut Harness) {
    let request = || Request::new(vec![task()], vec![], idempotency("a", 1));
    answer(&mut queue.durable, &request()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    assert_eq!(answer(&mut queue.durable, &request()).await.tasks[0].status, Status::Processing);
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(answer(&mut queue.durable, &request()).await.tasks[0].status, Status::Done);
}

async fn another_request_with_the_key_is_refused(queue: &mut Harness) {
    answer(&mut queue.durable, &Request::new(vec![task()], vec![], idempotency("a", 1))).await;
    let other = Request::new(several(2, &task()), keep("u"), idempotency("a", 2));
    assert!(matches!(store(&mut queue.durable, &other, false).await.unwrap(), Outcome::Reused));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 1);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.unique_keys").await, 0);
}

async fn keys_of_other_scopes_are_others(queue: &mut Harness) {
    for scope in ["global", "somebody"] {
        let idempotency = idempotency("a", 1).map(|key| Idempotency { scope: scope.to_owned(), ..key });
        let (how, _) = how(&answer(&mut queue.durable, &Request::new(vec![task()], vec![], idempotency)).await);
        assert_eq!(how, How::Stored, "{scope}");
    }
}

async fn an_expired_key_counts_as_absent(queue: &mut Harness) {
    let request = |fingerprint| Request::new(vec![task()], vec![], idempotency("a", fingerprint));
    let (_, first) = how(&answer(&mut queue.durable, &request(1)).await);
    sql::run(&mut queue.durable, "UPDATE taskrow.idempotency_keys SET expires_at = clock_timestamp()").await;
    let (how_second, second) = how(&answer(&mut queue.durable, &request(2)).await);
    assert_eq!(how_second, How::Stored);
    assert_ne!(first, second);
    assert_eq!(how(&answer(&mut queue.durable, &request(2)).await), (How::Replayed, second));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.idempotency_keys").await, 1);
}

async fn an_earlier_try_that_had_committed_is_found(queue: &mut Harness) {
    let request = Request::new(vec![task(), task()], vec![], idempotency("a", 1));
    let first = answer(&mut queue.durable, &request).await;
    let Outcome::Answered(again) = store(&mut queue.durable, &request, true).await.unwrap() else { panic!("refused") };
    assert_eq!(again.tasks, first.tasks);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 2);
    // An earlier try that had not: the next one stores.
    let request = Request::new(vec![task()], vec![], idempotency("b", 1));
    let Outcome::Answered(next) = store(&mut queue.durable, &request, true).await.unwrap() else { panic!("refused") };
    assert_eq!(how(&next).0, How::Stored);
}

async fn a_key_outlives_its_tasks(queue: &mut Harness) {
    let request = || Request::new(vec![task().priority(3)], vec![], idempotency("a", 1));
    let first = answer(&mut queue.durable, &request()).await;
    sql::run(&mut queue.durable, "TRUNCATE taskrow.records, taskrow.ready").await;
    let again = answer(&mut queue.durable, &request()).await;
    assert_eq!(again.tasks, [Answered { how: How::Replayed, ..first.tasks[0] }]);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 0);
}

/// What was answered is answered again, also when it was not the request's own task, and whatever has become of the key meanwhile.
async fn what_a_unique_key_led_to_is_remembered(queue: &mut Harness) {
    let (_, holder) = submit(&mut queue.durable, task(), keep("u")).await;
    let kept = || Request::new(vec![task().payload("2"), task()], keep("u"), idempotency("a", 1));
    let first = answer(&mut queue.durable, &kept()).await;
    assert_eq!((first.tasks[0].how, first.tasks[0].id, first.tasks[1].how), (How::Kept, holder, How::Stored));
    let replaced = || Request::new(vec![task().payload("3")], replace("u"), idempotency("b", 1));
    assert_eq!(how(&answer(&mut queue.durable, &replaced()).await), (How::Replaced, holder));
    queue.cancel(holder).await;
    let again = answer(&mut queue.durable, &kept()).await;
    assert_eq!(again.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [holder, first.tasks[1].id]);
    assert!(again.tasks.iter().all(|task| task.how == How::Replayed), "{again:?}");
    assert_eq!(how(&answer(&mut queue.durable, &replaced()).await), (How::Replayed, holder));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 2);
}

async fn a_large_batch_is_stored_once(queue: &mut Harness) {
    let request = || Request::new(several(10_000, &task()), vec![], idempotency("a", 1));
    let first = answer(&mut queue.durable, &request()).await;
    let again = answer(&mut queue.durable, &request()).await;
    assert!(first.tasks.iter().zip(&again.tasks).all(|(first, again)| first.id == again.id));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 10_000);
}

async fn a_transaction_that_does_not_end_is_not_waited_for_long(queue: &mut Harness) {
    let request = || Request::new(vec![task()], vec![], idempotency("a", 1));
    let insert = "BEGIN; INSERT INTO taskrow.idempotency_keys (expires_at, request, scope, key, fingerprint, task_ids)
                  VALUES ('infinity', gen_random_uuid(), 'global', 'a', sha256('x'), ARRAY[gen_random_uuid()])";
    sql::run(&mut queue.volatile, insert).await;
    assert!(matches!(store(&mut queue.durable, &request(), false).await.unwrap(), Outcome::InUse));
    sql::run(&mut queue.volatile, "ROLLBACK").await;
    assert_eq!(how(&answer(&mut queue.durable, &request()).await).0, How::Stored);
}
