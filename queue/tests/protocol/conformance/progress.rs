//! What running handlers report.

use queue::{progress, requeue::Reason};

use super::specifications;
use crate::support::{
    Harness,
    harness::done,
    tasks::{But, json, task},
};

specifications![
    the_newest_report_is_shown_while_the_task_runs,
    a_report_of_an_earlier_attempt_is_not_shown,
    a_final_task_shows_none,
    forgotten_reports_are_gone,
];

async fn shown(queue: &mut Harness, id: queue::TaskId) -> Option<String> {
    queue.get(id).await.progress.map(|value| value.get().to_owned())
}

async fn the_newest_report_is_shown_while_the_task_runs(queue: &mut Harness) {
    queue.submit_plain(2).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 2).await;
    for value in ["1", "{\"share\":0.5}"] {
        progress::report(&mut queue.volatile, &[(claimed[0].id, 1, json(value))]).await.unwrap();
        assert_eq!(shown(queue, claimed[0].id).await.as_deref(), Some(value));
        assert_eq!(shown(queue, claimed[1].id).await, None);
    }
    let both: Vec<_> = claimed.iter().map(|task| (task.id, 1, json("[]"))).collect();
    progress::report(&mut queue.volatile, &both).await.unwrap();
    assert_eq!(shown(queue, claimed[1].id).await.as_deref(), Some("[]"));
    progress::report(&mut queue.volatile, &[]).await.unwrap();
}

async fn a_report_of_an_earlier_attempt_is_not_shown(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(5)).await;
    let dead = queue.worker().await;
    queue.claim(dead, 1).await;
    progress::report(&mut queue.volatile, &[(id, 1, json("1"))]).await.unwrap();
    queue.bury(dead).await;
    assert_eq!(shown(queue, id).await, None);
    let worker = queue.worker().await;
    queue.claim(worker, 1).await;
    assert_eq!(shown(queue, id).await, None);
    progress::report(&mut queue.volatile, &[(id, 2, json("2"))]).await.unwrap();
    assert_eq!(shown(queue, id).await.as_deref(), Some("2"));
}

async fn a_final_task_shows_none(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    progress::report(&mut queue.volatile, &[(id, 1, json("1"))]).await.unwrap();
    queue.finish_all(worker, &claimed, done()).await;
    assert_eq!(shown(queue, id).await, None);
}

async fn forgotten_reports_are_gone(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    let claimed = queue.claim(worker, 1).await;
    progress::report(&mut queue.volatile, &[(id, 1, json("1"))]).await.unwrap();
    queue.requeue_all(worker, &claimed, Reason::Release).await;
    progress::forget(&mut queue.volatile, &[id]).await.unwrap();
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.progress").await, 0);
    queue.claim(worker, 1).await;
    assert_eq!(shown(queue, id).await, None);
}
