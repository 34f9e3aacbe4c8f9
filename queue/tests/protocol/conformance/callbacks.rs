//! Telling that tasks have ended.

use std::{collections::BTreeSet, time::Duration};

use queue::{
    Lane, NewTask, Status, TaskId,
    callbacks::{KIND, Made, Sweeper, make},
    finish::{Outcome, finish_and_tell},
    retention,
    retry::Retried,
    session,
    submit::{Stored, Submission, store},
};
use serde_json::Value;

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, failed, finished, retry_later},
    sql,
    tasks::{But, name, several, task},
};

specifications![
    every_outcome_makes_its_callback_due_and_nothing_else_does,
    a_callback_is_a_task_that_tells_the_outcome,
    each_outcome_is_told_once_however_many_make_callbacks,
    a_worker_that_finishes_hears_whether_callbacks_are_due,
    what_was_not_marked_is_swept,
    a_retry_takes_back_what_was_not_made_yet,
    tasks_and_callbacks_are_stored_together_and_once,
    callbacks_of_dropped_tasks_are_forgotten,
];

const URL: &str = "https://hooks.example.com/taskrow?a=1";
const DUE: &str = "SELECT task_id FROM taskrow.callbacks WHERE due_at IS NOT NULL";

fn told(task: NewTask) -> NewTask {
    NewTask { callback_url: Some(URL.into()), ..task }
}

async fn due(queue: &mut Harness) -> BTreeSet<TaskId> {
    let ids = sql::lines(&mut queue.durable, DUE).await;
    ids.iter().map(|id| TaskId::from_uuid(id.parse().unwrap())).collect()
}

async fn made(queue: &mut Harness) -> Made {
    make(&mut queue.durable).await.unwrap()
}

/// The payload of the one callback that is made.
async fn payload(queue: &mut Harness) -> Value {
    let made = made(queue).await;
    let [batch] = &made.ready[..] else { panic!("{made:?}") };
    let task = queue.get(batch.id.task(0)).await;
    assert_eq!((task.kind.as_str(), task.status), (KIND, Status::Queued));
    serde_json::from_str(task.payload.get()).unwrap()
}

async fn every_outcome_makes_its_callback_due_and_nothing_else_does(queue: &mut Harness) {
    let worker = queue.worker().await;
    let doomed = queue.worker().await;
    let mut ended = queue.submit(several(4, &told(task().attempts(1)))).await;
    let claimed = queue.claim(doomed, 2).await;
    queue.cancel(claimed[0].id).await;
    queue.bury(doomed).await;
    let claimed = queue.claim(worker, 2).await;
    queue.finish_all(worker, &claimed[..1], done()).await;
    queue.finish_all(worker, &claimed[1..], failed()).await;
    assert_eq!(due(queue).await, ended.iter().copied().collect(), "rescued, cancelled, done and failed");

    let waiting = queue.submit(several(3, &told(task()))).await;
    let scheduled = queue.submit_one(told(task().after(Duration::from_secs(3600)))).await;
    let plain = queue.submit_plain(1).await[0];
    queue.cancel(waiting[0]).await;
    queue.cancel(scheduled).await;
    queue.cancel(plain).await;
    let claimed = queue.claim(worker, 2).await;
    queue.cancel(claimed[0].id).await;
    queue.requeue_all(worker, &claimed, retry_later()).await;
    ended.extend([waiting[0], scheduled, claimed[0].id]);
    assert_eq!(due(queue).await, ended.into_iter().collect(), "cancelled in every state; not what waits for a retry");
}

async fn a_callback_is_a_task_that_tells_the_outcome(queue: &mut Harness) {
    let worker = queue.worker().await;
    for (outcome, status) in [(done(), "done"), (failed(), "failed"), (Outcome::Cancelled, "cancelled")] {
        let id = queue.submit_one(told(task().priority(7))).await;
        let claimed = queue.claim(worker, 1).await;
        queue.finish_all(worker, &claimed, outcome).await;
        let payload = payload(queue).await;
        let task = queue.get(id).await;
        assert_eq!(payload["url"], URL);
        let (event, data) = (&payload["event"], &payload["event"]["data"]);
        assert_eq!(event["type"], format!("task.{status}"));
        let time = |text: &Value| text.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert_eq!((time(&event["timestamp"]), time(&data["finished_at"])), (task.updated_at, task.updated_at));
        assert_eq!(data["id"], id.to_string());
        assert_eq!((&data["kind"], &data["queue"]), (&task.kind.into(), &task.queue.into()));
        assert_eq!((&data["status"], &data["attempt"]), (&status.into(), &1.into()));
        let result = task.result.map(|result| serde_json::from_str::<Value>(result.get()).unwrap());
        assert_eq!(data["result"], result.unwrap_or_default());
        assert_eq!(data["error"], task.error.map_or(Value::Null, Value::from));
        // It stands in the task's queue, at its priority.
        let lane = Lane { queue: name("default"), kind: name(KIND) };
        let call = queue.claim_from(worker, 1, 1, &[lane]).await.remove(0);
        assert_eq!(queue.get(call.id).await.priority, 7);
        queue.finish_all(worker, &[call], done()).await;
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.callbacks").await, 0, "and nobody is told of the callbacks");
}

async fn each_outcome_is_told_once_however_many_make_callbacks(queue: &mut Harness) {
    let worker = queue.worker().await;
    let ids = queue.submit(several(200, &told(task()))).await;
    let claimed = queue.claim(worker, 200).await;
    queue.finish_all(worker, &claimed, done()).await;
    let mut makers = Vec::new();
    for _ in 0..4 {
        makers.push(queue.connect(session::DURABLE).await);
    }
    let work = makers.iter_mut().map(async |connection| {
        let mut count = 0;
        loop {
            let made = make(connection).await.unwrap();
            count += made.ready.len();
            if !made.is_more {
                return count;
            }
        }
    });
    let counts = futures_util::future::join_all(work).await;
    // Those whose rows others held gave up early; what is left comes now.
    let mut count = counts.into_iter().sum::<usize>();
    loop {
        let made = made(queue).await;
        count += made.ready.len();
        if !made.is_more {
            break;
        }
    }
    assert_eq!(count, 200);
    let told = format!("SELECT payload->'event'->'data'->>'id' FROM taskrow.records WHERE kind = '{KIND}'");
    let told: BTreeSet<_> = sql::lines(&mut queue.durable, &told).await.into_iter().collect();
    assert_eq!(told, ids.iter().map(ToString::to_string).collect());
}

async fn a_worker_that_finishes_hears_whether_callbacks_are_due(queue: &mut Harness) {
    let worker = queue.worker().await;
    for expected in [false, true, false] {
        let task = if expected { told(task()) } else { task() };
        queue.submit_one(task).await;
        let claimed = queue.claim(worker, 1).await;
        let given = [finished(&claimed[0], done())];
        let (_, is_due) = finish_and_tell(&mut queue.durable, worker, &given).await.unwrap();
        assert_eq!(is_due, expected);
    }
}

async fn what_was_not_marked_is_swept(queue: &mut Harness) {
    let worker = queue.worker().await;
    let ids = queue.submit(several(3, &told(task()))).await;
    let claimed = queue.claim(worker, 2).await;
    queue.finish_all(worker, &claimed, done()).await;
    // As a worker of release 0.9.0 leaves it.
    sql::run(&mut queue.durable, "UPDATE taskrow.callbacks SET due_at = NULL").await;
    assert_eq!(made(queue).await, Made::default());
    let mut sweeper = Sweeper::default();
    assert!(sweeper.sweep(&mut queue.durable).await.unwrap());
    assert!(sweeper.is_at_start());
    assert_eq!(due(queue).await, ids[..2].iter().copied().collect());
    assert!(!sweeper.sweep(&mut queue.durable).await.unwrap(), "they are marked already");
    assert_eq!(made(queue).await.ready.len(), 2);
}

async fn a_retry_takes_back_what_was_not_made_yet(queue: &mut Harness) {
    let worker = queue.worker().await;
    let id = queue.submit_one(told(task())).await;
    for _ in 0..2 {
        let claimed = queue.claim(worker, 1).await;
        queue.finish_all(worker, &claimed, failed()).await;
        assert_eq!(due(queue).await, BTreeSet::from([id]));
        assert!(matches!(queue.retry(id).await, Retried::Queued(_)));
        assert_eq!(due(queue).await, BTreeSet::new());
        assert_eq!(made(queue).await, Made::default());
    }
    // A retry of release 0.9.0 takes nothing back: then what is due waits for the outcome.
    sql::run(&mut queue.durable, "UPDATE taskrow.callbacks SET due_at = now()").await;
    assert_eq!(made(queue).await, Made::default());
    let claimed = queue.claim(worker, 1).await;
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(payload(queue).await["event"]["type"], "task.done");
}

async fn tasks_and_callbacks_are_stored_together_and_once(queue: &mut Harness) {
    let mut tasks = several(70, &task());
    tasks[3] = told(task());
    tasks[69] = told(task());
    let submission = Submission::new(tasks);
    for expected in [Stored::Now(Default::default()), Stored::Before] {
        assert_eq!(store(&queue.durable, &submission).await.unwrap(), expected);
    }
    let ids = sql::lines(&mut queue.durable, "SELECT task_id FROM taskrow.callbacks ORDER BY task_id").await;
    let mut expected = [3, 69].map(|index: usize| submission.ids()[index].to_string());
    expected.sort();
    assert_eq!(ids, expected);
    // What cannot be stored leaves no callback.
    let unnamed = NewTask { callback_url: Some("".into()), ..task() };
    store(&queue.durable, &Submission::new(vec![task(), unnamed])).await.unwrap_err();
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, 70);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.callbacks").await, 2);
}

async fn callbacks_of_dropped_tasks_are_forgotten(queue: &mut Harness) {
    queue.submit_one(told(task())).await;
    let clean_up = async |queue: &mut Harness| {
        retention::clean_up(&mut queue.durable, Duration::from_secs(3600), 0).await.unwrap().callbacks_deleted
    };
    assert_eq!(clean_up(queue).await, 0, "an open task keeps its own");
    sql::run(
        &mut queue.durable,
        "INSERT INTO taskrow.callbacks (task_id, url) SELECT gen_random_uuid(), 'x' FROM generate_series(1, 3)",
    )
    .await;
    assert_eq!(clean_up(queue).await, 3);
}
