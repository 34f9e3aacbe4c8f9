//! Why a task is where it is: what is counted, and which reason decides.

use std::time::Duration;

use queue::{
    BatchId, TaskId,
    explain::{Ahead, Facts, Place, Reason, explain, reasons},
    overview,
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{again, done, retry_later},
    sql,
    tasks::{But, apart, name, several, task},
};

specifications![
    what_is_ahead_is_counted_by_priority_and_place,
    counting_stops_somewhere,
    a_paused_queue_decides_before_missing_workers,
    only_live_workers_of_both_queue_and_kind_take_a_task,
    a_handler_that_asks_for_another_call_has_not_failed,
    the_lease_tells_how_its_worker_is,
    what_does_not_exist_is_not_explained,
];

async fn facts(queue: &mut Harness, id: TaskId) -> Facts {
    explain(&mut queue.durable, id).await.unwrap().expect("the task exists")
}

async fn ahead(queue: &mut Harness, id: TaskId) -> Ahead {
    match facts(queue, id).await.place {
        Place::Queued { ahead, .. } => ahead,
        place => panic!("{place:?}"),
    }
}

async fn why(queue: &mut Harness, id: TaskId) -> Vec<String> {
    let word = |reason: &Reason| {
        format!("{reason:?}").split([' ', '(', '{']).next().expect("an enum's name comes first").to_owned()
    };
    reasons(&facts(queue, id).await).iter().map(word).collect()
}

async fn what_is_ahead_is_counted_by_priority_and_place(queue: &mut Harness) {
    let plain = queue.submit_plain(70).await;
    queue.submit(several(5, &task().lane("default", "other"))).await;
    queue.submit(several(5, &task().lane("other", "echo"))).await;
    let urgent = queue.submit(several(3, &task().priority(5))).await;
    let later = queue.submit_one(task().priority(-5)).await;
    for (id, tasks) in [(urgent[0], 0), (urgent[2], 2), (plain[0], 3), (plain[10], 13), (plain[69], 72), (later, 73)] {
        assert_eq!(ahead(queue, id).await, Ahead { tasks, at_least: false });
    }
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 4).await;
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(ahead(queue, plain[10]).await.tasks, 9);
    assert_eq!(why(queue, plain[1]).await, ["Next"]);
    assert_eq!(why(queue, plain[2]).await, ["Behind"]);
}

async fn counting_stops_somewhere(queue: &mut Harness) {
    let many = queue.submit(apart(1002, &task())).await;
    assert_eq!(ahead(queue, many[999]).await, Ahead { tasks: 999, at_least: false });
    assert_eq!(ahead(queue, many[1001]).await, Ahead { tasks: 1000, at_least: true });
}

async fn a_paused_queue_decides_before_missing_workers(queue: &mut Harness) {
    let [first, second] = queue.submit_plain(2).await[..] else { panic!() };
    let scheduled = queue.submit_one(task().after(Duration::from_secs(3600))).await;
    assert_eq!(why(queue, first).await, ["NoWorker"]);
    overview::pause(&mut queue.durable, &name("default")).await.unwrap();
    assert_eq!(why(queue, first).await, ["QueuePaused", "NoWorker"]);
    assert_eq!(why(queue, second).await, ["QueuePaused", "NoWorker", "Behind"]);
    assert_eq!(why(queue, scheduled).await, ["Scheduled", "QueuePaused", "NoWorker"]);
    queue.worker().await;
    assert_eq!(why(queue, scheduled).await, ["Scheduled", "QueuePaused"]);
    overview::resume(&mut queue.durable, &name("default")).await.unwrap();
    assert_eq!(why(queue, first).await, ["Next"]);
}

async fn only_live_workers_of_both_queue_and_kind_take_a_task(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let silent = queue.worker().await;
    queue.silence(silent).await;
    queue.worker_of(&["default"], &["other"]).await;
    queue.worker_of(&["other"], &["echo"]).await;
    assert_eq!(why(queue, id).await, ["NoWorker"]);
    for _ in 0..20 {
        queue.worker_of(&["elsewhere"], &["other"]).await;
    }
    let both = queue.worker().await;
    assert_eq!(why(queue, id).await, ["Next"]);
    let workers = facts(queue, id).await.workers.unwrap();
    assert_eq!((workers.alive, workers.taking, workers.slots, workers.listed.len()), (23, 1, 10, 10));
    assert_eq!((workers.listed[0].id, workers.listed[0].takes), (both.0, true));
    assert_eq!(workers.listed[1].queues, ["default"]);
}

async fn a_handler_that_asks_for_another_call_has_not_failed(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    queue.requeue_all(worker, &claimed, again()).await;
    assert_eq!(why(queue, id).await, ["Scheduled"]);
    queue.let_due().await;
    queue.promote().await;
    let claimed = queue.claim(worker, 1).await;
    queue.requeue_all(worker, &claimed, retry_later()).await;
    assert_eq!(why(queue, id).await, ["Retry"]);
}

async fn the_lease_tells_how_its_worker_is(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    queue.claim(worker, 1).await;
    assert_eq!(why(queue, id).await, ["Running"]);
    let age = |share: &str| {
        format!("UPDATE taskrow.workers SET heartbeat_at = clock_timestamp() - lease_ttl_ms * interval '{share} ms'")
    };
    for (share, expected) in [("0.3", "Running"), ("0.6", "WorkerSilent"), ("1.1", "WorkerLost")] {
        sql::run(&mut queue.durable, &age(share)).await;
        assert_eq!(why(queue, id).await, [expected]);
    }
    sql::run(&mut queue.durable, &age("0")).await;
    queue.cancel(id).await;
    assert_eq!(why(queue, id).await, ["Running", "CancelRequested"]);
    sql::run(&mut queue.durable, "UPDATE taskrow.workers SET dead_at = clock_timestamp()").await;
    assert_eq!(why(queue, id).await, ["WorkerLost", "CancelRequested"]);
}

async fn what_does_not_exist_is_not_explained(queue: &mut Harness) {
    assert!(explain(&mut queue.durable, BatchId::new().task(0)).await.unwrap().is_none());
}
