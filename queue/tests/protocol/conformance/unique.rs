//! Submitting with a unique key.

use std::{collections::BTreeSet, time::Duration};

use chrono::{TimeDelta, Utc};
use queue::{
    NewTask, Status, TaskId,
    keyed::{Answered, How, Outcome, Request, UniqueMode, store},
    retention::{self, Cleaned},
    retry::Retried,
};

use super::specifications;
use crate::support::{
    Harness,
    aging::{age, days_ago, older, partition},
    harness::{done, failed, retry_later},
    keys::{answer, idempotency, keep, replace, submit, unique},
    sql,
    tasks::{But, several, task},
};

specifications![
    an_open_task_is_the_answer_wherever_it_stands,
    a_task_that_ended_frees_its_key,
    keys_are_unique_per_queue_and_kind,
    the_answer_tells_the_options_of_the_open_task,
    a_waiting_task_gets_payload_and_start,
    a_replaced_task_keeps_its_place_and_its_attempts,
    a_running_task_is_not_replaced,
    neighbours_of_a_replaced_task_stay_as_they_are,
    tasks_of_one_request_may_share_a_key,
    tasks_of_one_request_that_share_a_key_replace_in_order,
    a_batch_stores_what_no_open_task_stands_for,
    an_earlier_try_that_had_committed_is_found,
    a_retry_by_hand_needs_the_key,
    a_retry_by_hand_of_a_done_task_takes_no_key,
    cleaning_removes_free_keys,
    many_keys_are_taken_and_cleaned_at_once,
];

const HOUR: Duration = Duration::from_secs(3600);

async fn end(queue: &mut Harness, outcome: queue::finish::Outcome) {
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.finish_all(worker, &claimed, outcome).await;
}

async fn payload(queue: &mut Harness, id: TaskId) -> String {
    queue.get(id).await.payload.get().to_owned()
}

async fn an_open_task_is_the_answer_wherever_it_stands(queue: &mut Harness) {
    let worker = queue.worker().await;
    for status in [Status::Queued, Status::Processing, Status::Scheduled] {
        let key = status.as_str();
        let (how, id) = submit(&mut queue.durable, task().payload("1"), keep(key)).await;
        assert_eq!(how, How::Stored);
        let claimed = if status == Status::Queued { vec![] } else { queue.claim(worker, 9).await };
        if status == Status::Scheduled {
            queue.requeue_all(worker, &claimed, retry_later()).await;
        }
        let request = Request::new(vec![task().payload("2")], keep(key), None);
        let again = answer(&mut queue.durable, &request).await;
        let Answered { id: found, how, status: found_status, .. } = again.tasks[0];
        assert_eq!((found, how, found_status), (id, How::Kept, status));
        assert!(again.ready.is_empty() && !again.is_something_later, "{again:?}");
        assert_eq!(payload(queue, id).await, "1");
        queue.finish_all(worker, &claimed, done()).await;
        queue.cancel(id).await;
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 3);
}

async fn a_task_that_ended_frees_its_key(queue: &mut Harness) {
    let mut ids = BTreeSet::new();
    for way in 0..5 {
        let (how, id) = submit(&mut queue.durable, task(), keep("a")).await;
        assert_eq!(how, How::Stored, "{way}");
        ids.insert(id);
        match way {
            0 => end(queue, done()).await,
            1 => end(queue, failed()).await,
            2 => drop(queue.cancel(id).await),
            // As retention does to a whole day.
            3 => sql::run(&mut queue.durable, "TRUNCATE taskrow.records, taskrow.outcomes, taskrow.ready").await,
            _ => {}
        }
    }
    assert_eq!(ids.len(), 5);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.unique_keys").await, 1);
}

async fn keys_are_unique_per_queue_and_kind(queue: &mut Harness) {
    for (lane, kind) in [("default", "echo"), ("other", "echo"), ("default", "other")] {
        assert_eq!(submit(&mut queue.durable, task().lane(lane, kind), keep("a")).await.0, How::Stored);
        assert_eq!(submit(&mut queue.durable, task().lane(lane, kind), keep("a")).await.0, How::Kept);
        assert_eq!(submit(&mut queue.durable, task().lane(lane, kind), keep("b")).await.0, How::Stored);
    }
    // A task without a key is nobody's concern.
    queue.submit_plain(3).await;
}

async fn the_answer_tells_the_options_of_the_open_task(queue: &mut Harness) {
    let first = task().priority(9).attempts(7).timeout(Duration::from_millis(1234));
    submit(&mut queue.durable, first, keep("a")).await;
    for unique in [keep("a"), replace("a")] {
        let again = answer(&mut queue.durable, &Request::new(vec![task()], unique, None)).await.tasks[0];
        assert_eq!((again.priority, again.max_attempts, again.timeout_ms), (9, 7, 1234));
    }
}

async fn a_waiting_task_gets_payload_and_start(queue: &mut Harness) {
    let later = |hours| task().after(HOUR * hours);
    let at = Utc::now() + TimeDelta::hours(5);
    let (_, id) = submit(&mut queue.durable, task().payload("0"), replace("a")).await;
    for (number, (new, status)) in [
        (task(), Status::Queued),
        (later(1), Status::Scheduled),
        (later(3), Status::Scheduled),
        (task().at(at), Status::Scheduled),
        (task(), Status::Queued),
        (task().at(Utc::now() - TimeDelta::hours(5)), Status::Queued),
    ]
    .into_iter()
    .enumerate()
    {
        let text = (number + 1).to_string();
        let request = Request::new(vec![new.payload(&text)], replace("a"), None);
        let answer = answer(&mut queue.durable, &request).await;
        let Answered { id: found, how, status: answered, .. } = answer.tasks[0];
        assert_eq!((found, how, answered), (id, How::Replaced, status), "{number}");
        assert_eq!(
            (answer.ready.len(), answer.is_something_later),
            (usize::from(status == Status::Queued), status == Status::Scheduled)
        );
        let task = queue.get(id).await;
        assert_eq!((task.payload.get(), task.status), (&*text, status), "{number}");
        if number == 3 {
            assert_eq!(task.run_at.unwrap().timestamp_micros(), at.timestamp_micros());
        }
        queue.check_invariants().await;
    }
    let worker = queue.worker().await;
    assert_eq!(queue.claim_one(worker).await.payload.get(), "6");
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 1);
}

async fn a_replaced_task_keeps_its_place_and_its_attempts(queue: &mut Harness) {
    let (_, first) = submit(&mut queue.durable, task(), replace("a")).await;
    let second = queue.submit_one(task()).await;
    submit(&mut queue.durable, task().payload("1"), replace("a")).await;
    let worker = queue.worker().await;
    let claimed = queue.claim_from(worker, 1, 1, &[crate::support::tasks::default_lane()]).await;
    assert_eq!((claimed[0].id, claimed[0].attempt), (first, 1));
    queue.requeue_all(worker, &claimed, retry_later()).await;
    // It waits for its second attempt; now it may run at once.
    let replaced = submit(&mut queue.durable, task().payload("2").priority(50), replace("a")).await;
    assert_eq!(replaced, (How::Replaced, first));
    assert_eq!(queue.stand(first).await, (Status::Queued, 1));
    assert_eq!(queue.get(first).await.priority, 0);
    let claimed = queue.claim(worker, 2).await;
    assert_eq!(claimed.iter().map(|task| (task.id, task.attempt)).collect::<Vec<_>>(), [(first, 2), (second, 1)]);
}

async fn a_running_task_is_not_replaced(queue: &mut Harness) {
    let (_, id) = submit(&mut queue.durable, task().payload("1"), replace("a")).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    let request = Request::new(vec![task().payload("2")], replace("a"), None);
    let answered = answer(&mut queue.durable, &request).await.tasks[0];
    assert_eq!((answered.id, answered.how, answered.status), (id, How::Kept, Status::Processing));
    assert_eq!(payload(queue, id).await, "1");
    queue.requeue_all(worker, &claimed, queue::requeue::Reason::Release).await;
    assert_eq!(submit(&mut queue.durable, task().payload("3"), replace("a")).await, (How::Replaced, id));
    assert_eq!(queue.claim_one(worker).await.payload.get(), "3");
}

/// The task is one bit of a row; the others stay in theirs.
async fn neighbours_of_a_replaced_task_stay_as_they_are(queue: &mut Harness) {
    for later in [false, true] {
        let given = if later { task().after(HOUR) } else { task() };
        let request = Request::new(several(10, &given), replace("a"), None);
        let ids: Vec<_> = answer(&mut queue.durable, &request).await.tasks.iter().map(|task| task.id).collect();
        assert!(ids.iter().all(|id| id.batch() == ids[0].batch()));
        let new = if later { task() } else { task().after(HOUR) };
        assert_eq!(submit(&mut queue.durable, new.payload("7"), replace("a")).await, (How::Replaced, ids[0]));
        let (own, others) =
            if later { (Status::Queued, Status::Scheduled) } else { (Status::Scheduled, Status::Queued) };
        assert_eq!((queue.status(ids[0]).await, payload(queue, ids[0]).await), (own, "7".to_owned()));
        for id in &ids[1..] {
            assert_eq!((queue.status(*id).await, payload(queue, *id).await), (others, "null".to_owned()));
        }
        queue.check_invariants().await;
        for id in ids {
            queue.cancel(id).await;
        }
    }
}

async fn tasks_of_one_request_may_share_a_key(queue: &mut Harness) {
    let tasks: Vec<NewTask> = (0..5).map(|number| task().payload(&number.to_string())).collect();
    let keys = |key, indexes: &[usize]| -> Vec<_> {
        indexes.iter().map(|index| (*index, unique(key, UniqueMode::Keep))).collect()
    };
    let unique = [keys("a", &[0, 2]), keys("b", &[3, 4])].concat();
    let answered = answer(&mut queue.durable, &Request::new(tasks, unique, None)).await.tasks;
    let how: Vec<_> = answered.iter().map(|task| task.how).collect();
    assert_eq!(how, [How::Stored, How::Stored, How::Kept, How::Stored, How::Kept]);
    assert_eq!((answered[2].id, answered[4].id), (answered[0].id, answered[3].id));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 3);
    assert_eq!(payload(queue, answered[0].id).await, "0");
}

async fn tasks_of_one_request_that_share_a_key_replace_in_order(queue: &mut Harness) {
    let batch = || {
        let tasks =
            vec![task().payload("1"), task().payload("2").after(HOUR), task().payload("3"), task().payload("4")];
        let modes = [UniqueMode::Keep, UniqueMode::Replace, UniqueMode::Replace, UniqueMode::Keep];
        Request::new(tasks, modes.into_iter().map(|mode| unique("a", mode)).enumerate().collect(), None)
    };
    for expected in
        [[How::Stored, How::Replaced, How::Replaced, How::Kept], [How::Kept, How::Replaced, How::Replaced, How::Kept]]
    {
        let answered = answer(&mut queue.durable, &batch()).await.tasks;
        assert_eq!(answered.iter().map(|task| task.how).collect::<Vec<_>>(), expected);
        assert!(answered.iter().all(|task| task.id == answered[0].id && task.status == Status::Queued), "{answered:?}");
        assert_eq!(payload(queue, answered[0].id).await, "3");
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 1);
}

async fn a_batch_stores_what_no_open_task_stands_for(queue: &mut Harness) {
    let (_, held) = submit(&mut queue.durable, task(), keep("1")).await;
    let request = || {
        let keys = [0, 1, 2].map(|index| (index, unique(&index.to_string(), UniqueMode::Keep)));
        Request::new(several(4, &task()), keys.to_vec(), None)
    };
    let first = answer(&mut queue.durable, &request()).await.tasks;
    let how: Vec<_> = first.iter().map(|task| task.how).collect();
    assert_eq!((how, first[1].id), (vec![How::Stored, How::Kept, How::Stored, How::Stored], held));
    let second = answer(&mut queue.durable, &request()).await.tasks;
    let how: Vec<_> = second.iter().map(|task| task.how).collect();
    assert_eq!(how, [How::Kept, How::Kept, How::Kept, How::Stored]);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 5);
}

/// Also when the task has run meanwhile, and its key has another holder.
async fn an_earlier_try_that_had_committed_is_found(queue: &mut Harness) {
    let request = Request::new(several(2, &task()), keep("a"), None);
    let first = answer(&mut queue.durable, &request).await.tasks;
    for round in 0..3 {
        let Outcome::Answered(again) = store(&mut queue.durable, &request, true).await.unwrap() else { panic!() };
        let stands: Vec<_> = again.tasks.iter().map(|task| (task.id, task.how)).collect();
        assert_eq!(stands, first.iter().map(|task| (task.id, How::Stored)).collect::<Vec<_>>(), "{round}");
        match round {
            0 => drop(queue.cancel(first[0].id).await),
            _ => drop(submit(&mut queue.durable, task(), keep("a")).await),
        }
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 3);
}

async fn a_retry_by_hand_needs_the_key(queue: &mut Harness) {
    let (_, old) = submit(&mut queue.durable, task(), keep("a")).await;
    queue.cancel(old).await;
    // Nobody holds it: it is the old one's again.
    assert!(matches!(queue.retry(old).await, Retried::Queued(_)));
    assert_eq!(submit(&mut queue.durable, task(), keep("a")).await, (How::Kept, old));
    queue.cancel(old).await;
    let (how, new) = submit(&mut queue.durable, task(), keep("a")).await;
    assert_eq!(how, How::Stored);
    for _ in 0..2 {
        assert_eq!(queue.retry(old).await, Retried::KeyHeld(new));
        assert_eq!(queue.status(old).await, Status::Cancelled);
    }
    end(queue, failed()).await;
    assert!(matches!(queue.retry(old).await, Retried::Queued(_)));
    assert_eq!(queue.retry(new).await, Retried::KeyHeld(old));
    assert_eq!(submit(&mut queue.durable, task(), keep("a")).await, (How::Kept, old));
}

async fn a_retry_by_hand_of_a_done_task_takes_no_key(queue: &mut Harness) {
    let (_, old) = submit(&mut queue.durable, task(), keep("a")).await;
    end(queue, done()).await;
    assert_eq!(queue.retry(old).await, Retried::Done);
    assert_eq!(submit(&mut queue.durable, task(), keep("a")).await.0, How::Stored);
}

async fn clean_up(queue: &mut Harness) -> Cleaned {
    retention::clean_up(&mut queue.durable, HOUR * 24 * 5, 0).await.unwrap()
}

async fn cleaning_removes_free_keys(queue: &mut Harness) {
    let (_, open) = submit(&mut queue.durable, task().priority(-1), keep("open")).await;
    let request = Request::new(vec![task()], keep("done"), idempotency("one", 1));
    answer(&mut queue.durable, &request).await;
    end(queue, done()).await;
    let (_, cancelled) = submit(&mut queue.durable, task(), keep("cancelled")).await;
    queue.cancel(cancelled).await;
    let cleaned = clean_up(queue).await;
    assert_eq!((cleaned.unique_keys_deleted, cleaned.idempotency_keys_deleted), (2, 0));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.keyed_tasks").await, 2, "the open and the cancelled one");
    // A key whose row was removed is free for those who had it, too.
    assert!(matches!(queue.retry(cancelled).await, Retried::Queued(_)));
    assert_eq!(submit(&mut queue.durable, task(), keep("cancelled")).await, (How::Kept, cancelled));
    assert_eq!(submit(&mut queue.durable, task(), keep("open")).await, (How::Kept, open));
    queue.cancel(cancelled).await;
    queue.cancel(open).await;

    sql::run(&mut queue.durable, "UPDATE taskrow.idempotency_keys SET expires_at = clock_timestamp()").await;
    let day = days_ago(&mut queue.durable, 10).await;
    partition(&mut queue.durable, day).await;
    age(&mut queue.durable, 10).await;
    let cleaned = clean_up(queue).await;
    assert_eq!(cleaned.days_dropped, [day]);
    assert_eq!((cleaned.unique_keys_deleted, cleaned.idempotency_keys_deleted), (2, 1));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.keyed_tasks").await, 0);
    assert_eq!(queue.retry(older(cancelled, 10)).await, Retried::NotFound);
}

async fn many_keys_are_taken_and_cleaned_at_once(queue: &mut Harness) {
    let keys = |mode| (0..5000).map(|index| (index, unique(&format!("key {index}"), mode))).collect();
    let request = |mode| Request::new(several(5000, &task()), keys(mode), None);
    let first = answer(&mut queue.durable, &request(UniqueMode::Keep)).await;
    assert!(first.tasks.iter().all(|task| task.how == How::Stored));
    let again = answer(&mut queue.durable, &request(UniqueMode::Keep)).await;
    assert!(again.tasks.iter().all(|task| task.how == How::Kept));
    assert_eq!(clean_up(queue).await.unique_keys_deleted, 0);
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 5000).await;
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(clean_up(queue).await.unique_keys_deleted, 5000);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.keyed_tasks").await, 0);
}
