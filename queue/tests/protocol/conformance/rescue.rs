//! Giving a dead worker's leases back.

use queue::{
    Status,
    cancel::Cancelled,
    requeue::Reason,
    rescue::{CRASH_LIMIT, Rescued},
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, ids},
    sql,
    tasks::{But, apart, task},
};

specifications![
    a_silent_workers_tasks_wait_again_with_the_attempt_burnt,
    a_worker_within_its_ttl_is_left_alone,
    live_workers_are_not_disturbed,
    rescued_tasks_go_back_to_their_place,
    the_parts_of_a_split_batch_merge,
    what_was_finished_is_not_given_back,
    the_last_attempt_ends_as_failed,
    a_task_that_kills_its_workers_is_set_aside,
    what_two_workers_died_with_is_taken_apart,
    giving_back_resets_no_crash_count,
    a_cancelled_task_ends_as_cancelled,
    many_leases_go_back_in_one_pass,
    a_pass_that_was_cut_short_is_finished_by_the_next,
    the_dead_are_forgotten_in_time,
];

async fn a_silent_workers_tasks_wait_again_with_the_attempt_burnt(queue: &mut Harness) {
    let all = queue.submit_plain(70).await;
    let dead = queue.worker().await;
    queue.claim(dead, 70).await;
    let rescued = queue.bury(dead).await;
    assert_eq!(rescued, Rescued { workers: vec![dead.0], returned: 70, ended: 0 });
    for id in &all {
        assert_eq!(queue.stand(*id).await, (Status::Queued, 1));
    }
    let next = queue.worker().await;
    let claimed = queue.claim(next, 100).await;
    assert_eq!(ids(&claimed), all);
    assert!(claimed.iter().all(|task| task.attempt == 2));
}

async fn a_worker_within_its_ttl_is_left_alone(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let worker = queue.worker().await;
    queue.claim(worker, 1).await;
    let almost = "UPDATE taskrow.workers SET heartbeat_at = clock_timestamp() - lease_ttl_ms * interval '0.5 ms'";
    sql::run(&mut queue.durable, almost).await;
    assert_eq!(queue.rescue().await, Rescued::default());
    assert_eq!(queue.status(id).await, Status::Processing);
}

async fn live_workers_are_not_disturbed(queue: &mut Harness) {
    let all = queue.submit_plain(20).await;
    let [dead, alive] = [queue.worker().await, queue.worker().await];
    queue.claim(dead, 10).await;
    let kept = queue.claim(alive, 10).await;
    queue.bury(dead).await;
    for id in &all[10..] {
        assert_eq!(queue.stand(*id).await, (Status::Processing, 1));
    }
    queue.finish_all(alive, &kept, done()).await;
    assert_eq!(queue.rescue().await, Rescued::default());
}

async fn rescued_tasks_go_back_to_their_place(queue: &mut Harness) {
    let first = queue.submit_one(task()).await;
    let dead = queue.worker().await;
    queue.claim(dead, 1).await;
    queue.submit_one(task()).await;
    queue.bury(dead).await;
    let worker = queue.worker().await;
    assert_eq!(queue.claim_one(worker).await.id, first);
}

async fn the_parts_of_a_split_batch_merge(queue: &mut Harness) {
    let all = queue.submit_plain(64).await;
    let [one, other] = [queue.worker().await, queue.worker().await];
    queue.claim(one, 20).await;
    queue.claim(other, 20).await;
    queue.claim(one, 4).await;
    queue.bury(one).await;
    queue.bury(other).await;
    // What was never claimed has burnt nothing, so it waits apart from what has.
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.ready").await, 2);
    assert_eq!(queue.stand(all[0]).await, (Status::Queued, 1));
    assert_eq!(queue.stand(all[63]).await, (Status::Queued, 0));
    let worker = queue.worker().await;
    assert_eq!(ids(&queue.claim(worker, 64).await), all);
}

async fn what_was_finished_is_not_given_back(queue: &mut Harness) {
    let all = queue.submit_plain(10).await;
    let dead = queue.worker().await;
    let claimed = queue.claim(dead, 10).await;
    queue.finish_all(dead, &claimed[..4], done()).await;
    queue.requeue_all(dead, &claimed[4..6], Reason::Release).await;
    assert_eq!(queue.bury(dead).await.returned, 4);
    let expected = [(Status::Done, 1), (Status::Queued, 0), (Status::Queued, 1)];
    for (place, expected) in [0, 4, 6].into_iter().zip(expected) {
        assert_eq!(queue.stand(all[place]).await, expected);
    }
}

async fn the_last_attempt_ends_as_failed(queue: &mut Harness) {
    let all = queue.submit(vec![task().attempts(2); 64]).await;
    for returned in [64, 0] {
        let dead = queue.worker().await;
        queue.claim(dead, 64).await;
        let rescued = queue.bury(dead).await;
        assert_eq!((rescued.returned, rescued.ended), (returned, 64 - returned));
    }
    for id in all {
        let found = queue.get(id).await;
        assert_eq!((found.status, found.attempt), (Status::Failed, 2));
        assert!(found.error.unwrap().contains("died"));
    }
}

async fn a_task_that_kills_its_workers_is_set_aside(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1000)).await;
    for crash in 1..=CRASH_LIMIT {
        let status = if crash <= 2 { Status::Queued } else { Status::Scheduled };
        assert_eq!(queue.stand(id).await, (status, crash - 1));
        queue.let_due().await;
        queue.promote().await;
        let dead = queue.worker().await;
        queue.claim(dead, 1).await;
        queue.bury(dead).await;
    }
    let found = queue.get(id).await;
    assert_eq!((found.status, found.attempt), (Status::Failed, CRASH_LIMIT));
    assert!(found.error.as_ref().unwrap().contains("set aside"), "{:?}", found.error);
}

async fn what_two_workers_died_with_is_taken_apart(queue: &mut Harness) {
    let all = queue.submit(vec![task().attempts(1000); 64]).await;
    let rows = "SELECT count(*) FROM taskrow.scheduled WHERE taskrow.mask_size(mask) = 1";
    for (crash, ttls) in [(1, 0), (2, 1), (3, 2), (4, 4)] {
        queue.let_due().await;
        queue.promote().await;
        let dead = queue.worker().await;
        queue.claim(dead, 64).await;
        assert_eq!(queue.bury(dead).await.returned, 64);
        // Together after the first death, and each for itself after the next.
        assert_eq!(queue.number(rows).await, if crash == 1 { 0 } else { 64 });
        for id in &all {
            assert_eq!(queue.stand(*id).await.1, crash);
        }
        let spread = "SELECT count(*) FROM taskrow.scheduled, taskrow.workers
                      WHERE run_at - scheduled_at NOT BETWEEN interval '-1 second' AND "
            .to_owned()
            + &format!("{ttls} * lease_ttl_ms * interval '1 millisecond' AND id = {}", dead.0);
        assert_eq!(queue.number(&spread).await, 0, "after {crash} deaths");
        assert!(crash == 1 || queue.number("SELECT count(DISTINCT run_at) FROM taskrow.scheduled").await > 50);
    }
}

async fn giving_back_resets_no_crash_count(queue: &mut Harness) {
    let id = queue.submit_one(task().attempts(1000)).await;
    for _ in 0..CRASH_LIMIT {
        queue.let_due().await;
        queue.promote().await;
        let dead = queue.worker().await;
        let claimed = queue.claim(dead, 1).await;
        queue.requeue_all(dead, &claimed, crate::support::harness::retry_later()).await;
        queue.let_due().await;
        queue.promote().await;
        let claimed = queue.claim(dead, 1).await;
        queue.requeue_all(dead, &claimed, Reason::Release).await;
        queue.claim(dead, 1).await;
        queue.bury(dead).await;
    }
    assert_eq!(queue.status(id).await, Status::Failed);
}

async fn a_cancelled_task_ends_as_cancelled(queue: &mut Harness) {
    let all = queue.submit_plain(64).await;
    let dead = queue.worker().await;
    queue.claim(dead, 64).await;
    for place in [0, 63] {
        assert_eq!(queue.cancel(all[place]).await, Cancelled::Asked(dead));
    }
    let rescued = queue.bury(dead).await;
    assert_eq!((rescued.returned, rescued.ended), (62, 2));
    assert_eq!(queue.stand(all[0]).await, (Status::Cancelled, 1));
    assert_eq!(queue.stand(all[63]).await, (Status::Cancelled, 1));
    assert_eq!(queue.stand(all[1]).await, (Status::Queued, 1));
}

async fn many_leases_go_back_in_one_pass(queue: &mut Harness) {
    queue.submit(apart(1300, &task())).await;
    let workers = [queue.worker().await, queue.worker().await, queue.worker().await];
    for worker in workers {
        while queue.number(&format!("SELECT count(*) FROM taskrow.leases WHERE worker = {}", worker.0)).await < 430 {
            queue.claim(worker, 215).await;
        }
        queue.silence(worker).await;
    }
    let rescued = queue.rescue().await;
    assert_eq!((rescued.workers.len(), rescued.returned), (3, 1290));
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
}

async fn a_pass_that_was_cut_short_is_finished_by_the_next(queue: &mut Harness) {
    let id = queue.submit_one(task()).await;
    let dead = queue.worker().await;
    queue.claim(dead, 1).await;
    // As if the rescuer had died after it marked the worker.
    sql::run(&mut queue.durable, "UPDATE taskrow.workers SET dead_at = clock_timestamp()").await;
    assert_eq!(queue.rescue().await, Rescued { workers: vec![], returned: 1, ended: 0 });
    assert_eq!(queue.stand(id).await, (Status::Queued, 1));
}

async fn the_dead_are_forgotten_in_time(queue: &mut Harness) {
    let dead = queue.worker().await;
    queue.bury(dead).await;
    queue.rescue().await;
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.workers").await, 1);
    sql::run(&mut queue.durable, "UPDATE taskrow.workers SET dead_at = dead_at - interval '2 hours'").await;
    queue.rescue().await;
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.workers").await, 0);
}
