//! The history of a task's attempts, and who made them.

use std::time::Duration;

use queue::{
    TaskId,
    explain::{ATTEMPTS_LIMIT, Ended, Facts, explain},
    requeue::Reason,
    rescue::CRASH_LIMIT,
    retention,
    retry::Retried,
};

use super::specifications;
use crate::support::{
    Harness,
    aging::{days_ago, partition},
    harness::{again, done, failed, retry_later},
    sql,
    tasks::{But, task},
};

specifications![
    each_attempt_tells_its_worker_its_times_and_its_error,
    a_quick_result_keeps_no_start,
    a_death_is_an_attempt,
    a_death_at_the_last_attempt_is_one_attempt,
    a_cancelled_run_is_an_attempt,
    what_burns_no_attempt_is_none,
    a_retry_by_hand_keeps_what_was_before,
    of_many_attempts_the_newest_are_told,
    attempts_of_the_previous_release_are_told,
    names_stay_until_no_attempt_can_need_them,
];

async fn facts(queue: &mut Harness, id: TaskId) -> Facts {
    explain(&mut queue.durable, id).await.unwrap().expect("the task exists")
}

/// Number, worker and end of each attempt.
async fn history(queue: &mut Harness, id: TaskId) -> Vec<(i16, i64, Ended)> {
    let facts = facts(queue, id).await;
    facts.attempts.iter().map(|attempt| (attempt.number, attempt.worker, attempt.ended)).collect()
}

/// The leases there are were claimed an hour ago.
async fn let_run(queue: &mut Harness) {
    sql::run(&mut queue.durable, "UPDATE taskrow.leases SET claimed_at = claimed_at - interval '1 hour'").await;
}

async fn fail_once(queue: &mut Harness, worker: queue::workers::WorkerId) {
    let claimed = queue.claim(worker, 1).await;
    queue.requeue_all(worker, &claimed, retry_later()).await;
    queue.let_due().await;
    queue.promote().await;
}

async fn each_attempt_tells_its_worker_its_times_and_its_error(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let first = queue.worker().await;
    let claimed = queue.claim(first, 1).await;
    let_run(queue).await;
    queue.requeue_all(first, &claimed, retry_later()).await;
    queue.let_due().await;
    queue.promote().await;
    let second = queue.worker().await;
    let claimed = queue.claim(second, 1).await;
    assert_eq!(history(queue, id).await, [(1, first.0, Ended::Failed), (2, second.0, Ended::Not)]);
    let_run(queue).await;
    queue.finish_all(second, &claimed, done()).await;
    queue.deregister(first).await;

    let facts = facts(queue, id).await;
    let [one, two] = &facts.attempts[..] else { panic!("{facts:?}") };
    for (attempt, worker, ended, error) in
        [(one, first, Ended::Failed, Some("flaky")), (two, second, Ended::Done, None)]
    {
        assert_eq!((attempt.worker, attempt.ended, attempt.error.as_deref()), (worker.0, ended, error));
        let ran = attempt.ended_at.unwrap() - attempt.started_at.unwrap();
        assert!((60..=70).contains(&ran.num_minutes()), "{attempt:?}");
        let name = attempt.name.as_ref().expect("also of a worker that is gone");
        assert_eq!((name.name.as_str(), name.version.as_str()), ("test", "0.0.0"));
    }
}

async fn a_quick_result_keeps_no_start(queue: &mut Harness) {
    let all = queue.submit_plain(2).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 2).await;
    queue.finish_all(worker, &claimed[..1], done()).await;
    queue.finish_all(worker, &claimed[1..], failed()).await;
    // Unless the machine stood still for a second.
    let slow =
        "SELECT count(*) FROM taskrow.outcomes WHERE status = 1 AND claimed_at > finished_at - interval '1 second'";
    assert_eq!(queue.number(slow).await, 0);
    assert!(facts(queue, all[1]).await.attempts[0].started_at.is_some(), "a failure keeps it always");
}

async fn a_death_is_an_attempt(queue: &mut Harness) {
    let all = queue.submit_plain(64).await;
    let dead = queue.worker().await;
    queue.claim(dead, 64).await;
    let_run(queue).await;
    queue.bury(dead).await;
    sql::run(&mut queue.durable, "DELETE FROM taskrow.workers").await;
    for id in [all[0], all[63]] {
        let facts = facts(queue, id).await;
        let [attempt] = &facts.attempts[..] else { panic!("{facts:?}") };
        assert_eq!((attempt.number, attempt.ended, attempt.crashes), (1, Ended::Crashed, Some(1)));
        assert_eq!(attempt.name.as_ref().unwrap().name, "test");
        assert!(attempt.error.as_ref().unwrap().contains("died") && attempt.started_at.is_some(), "{attempt:?}");
        assert_eq!(facts.crashes, 1);
        assert!(queue.get(id).await.error.unwrap().contains("died"));
    }
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 64).await;
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(history(queue, all[7]).await, [(1, dead.0, Ended::Crashed), (2, worker.0, Ended::Done)]);
}

async fn a_death_at_the_last_attempt_is_one_attempt(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1000)).await;
    let mut expected = Vec::new();
    for crash in 1..=CRASH_LIMIT {
        // From the second death on it waits apart from those that it was held with.
        queue.let_due().await;
        queue.promote().await;
        let dead = queue.worker().await;
        queue.claim(dead, 1).await;
        queue.bury(dead).await;
        expected.push((crash, dead.0, Ended::Crashed));
    }
    assert_eq!(history(queue, id).await, expected);
    assert_eq!(facts(queue, id).await.crashes, CRASH_LIMIT);
    assert!(matches!(queue.retry(id).await, Retried::Queued(_)));
    assert_eq!(history(queue, id).await, expected);
    assert_eq!(facts(queue, id).await.crashes, 0);
}

async fn a_cancelled_run_is_an_attempt(queue: &mut Harness) {
    let [waiting, given_back, buried] = queue.submit_plain(3).await[..] else { panic!() };
    queue.cancel(waiting).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 2).await;
    queue.cancel(given_back).await;
    queue.cancel(buried).await;
    queue.requeue_all(worker, &claimed[..1], Reason::Release).await;
    queue.bury(worker).await;
    assert_eq!(history(queue, waiting).await, []);
    for id in [given_back, buried] {
        assert_eq!(history(queue, id).await, [(1, worker.0, Ended::Cancelled)]);
        assert!(facts(queue, id).await.attempts[0].started_at.is_some());
    }
}

async fn what_burns_no_attempt_is_none(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.requeue_all(worker, &claimed, Reason::Release).await;
    let claimed = queue.claim(worker, 1).await;
    queue.requeue_all(worker, &claimed, again()).await;
    assert_eq!(history(queue, id).await, []);
}

async fn a_retry_by_hand_keeps_what_was_before(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(2)).await;
    let worker = queue.worker().await;
    let mut expected = Vec::new();
    for _ in 0..2 {
        fail_once(queue, worker).await;
        let claimed = queue.claim(worker, 1).await;
        queue.finish_all(worker, &claimed, failed()).await;
        expected.extend([(1, worker.0, Ended::Failed), (2, worker.0, Ended::Failed)]);
        assert_eq!(history(queue, id).await, expected);
        queue.retry(id).await;
        assert_eq!(history(queue, id).await, expected);
    }
    assert_eq!(facts(queue, id).await.attempts[3].error.as_deref(), Some("broken"));
}

async fn of_many_attempts_the_newest_are_told(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1000)).await;
    let failures = format!(
        "INSERT INTO taskrow.failures (task_id, failed_at, worker, attempt, error)
         SELECT '{id}', clock_timestamp() + n * interval '1 ms', 1, n, repeat('x', 5000) FROM generate_series(1, 60) AS n"
    );
    sql::run(&mut queue.durable, &failures).await;
    let facts = facts(queue, id).await;
    assert_eq!((facts.attempts.len(), facts.attempts_cut), (ATTEMPTS_LIMIT, true));
    assert_eq!((facts.attempts[0].number, facts.attempts[49].number), (11, 60));
    assert_eq!(facts.attempts[0].error.as_ref().unwrap().len(), 1000);
}

async fn attempts_of_the_previous_release_are_told(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    fail_once(queue, worker).await;
    sql::run(&mut queue.durable, "UPDATE taskrow.failures SET claimed_at = NULL; DELETE FROM taskrow.worker_names")
        .await;
    let attempt = facts(queue, id).await.attempts.remove(0);
    assert_eq!((attempt.started_at, attempt.ended), (None, Ended::Failed));
    assert!(attempt.name.is_some(), "still listed");
    queue.deregister(worker).await;
    assert_eq!(facts(queue, id).await.attempts[0].name, None);
}

async fn names_stay_until_no_attempt_can_need_them(queue: &mut Harness) {
    let names = "SELECT count(*) FROM taskrow.worker_names";
    let week = Duration::from_secs(7 * 24 * 3600);
    let (gone, alive) = (queue.worker().await, queue.worker().await);
    queue.deregister(gone).await;
    for _ in 0..2 {
        assert_eq!(retention::clean_up(&mut queue.durable, week, 0).await.unwrap().worker_names_deleted, 0);
        sql::run(&mut queue.durable, "UPDATE taskrow.worker_names SET gone_at = gone_at - interval '5 days'").await;
        assert_eq!(queue.number(names).await, 2);
    }
    // It has been gone for longer than the retention, but a day before it went is still kept: a task of it is open.
    let day = days_ago(&mut queue.durable, 20).await;
    partition(&mut queue.durable, day).await;
    let open = format!(
        "INSERT INTO taskrow.ready (mask, timeout_ms, rank, max_attempts, batch, queue, kind)
         VALUES (1, 1, 0, 1, '{}', 'default', 'echo')",
        schema::partitions::bounds(day).0
    );
    sql::run(&mut queue.durable, &open).await;
    let cleaned = retention::clean_up(&mut queue.durable, week, 0).await.unwrap();
    assert_eq!((cleaned.days_kept, cleaned.worker_names_deleted), (vec![day], 0));
    sql::run(&mut queue.durable, "DELETE FROM taskrow.ready").await;
    assert_eq!(retention::clean_up(&mut queue.durable, week, 0).await.unwrap().worker_names_deleted, 1);
    assert_eq!(queue.number("SELECT id FROM taskrow.worker_names").await, alive.0);
}
