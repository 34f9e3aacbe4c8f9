//! Pages of tasks.

use std::time::Duration;

use queue::{
    Status, TaskId,
    finish::Outcome,
    inspect::{Filter, PAGE_LIMIT},
};

use super::specifications;
use crate::support::{
    Harness,
    harness::{done, failed},
    sql,
    tasks::{But, apart, name, several, task},
};

specifications![
    newest_first,
    each_state_is_listed_alone,
    queue_and_kind_filter,
    a_page_is_never_longer_than_asked,
    a_walk_sees_each_task_once,
    a_walk_over_split_batches_sees_each_task_once,
    a_batch_across_the_edge_of_a_window_is_on_one_page,
    a_walk_for_what_few_tasks_match_ends,
    a_walk_goes_on_while_tasks_move,
];

/// Walks all pages and returns the ids in the order seen.
async fn walk(queue: &mut Harness, filter: Filter) -> Vec<TaskId> {
    let mut filter = filter;
    let mut seen: Vec<TaskId> = Vec::new();
    for _ in 0..10_000 {
        let page = queue.list(&filter).await;
        assert!(page.tasks.len() <= filter.limit);
        assert!(page.tasks.iter().all(|task| filter.status.is_none_or(|status| task.status == status)));
        seen.extend(page.tasks.iter().map(|task| task.id));
        let Some(next) = page.next else {
            assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once");
            return seen;
        };
        assert!(filter.before.is_none_or(|before| next < before), "the cursor moves on");
        filter.before = Some(next);
    }
    panic!("the walk does not end");
}

fn all(limit: usize) -> Filter {
    Filter { limit, ..Filter::default() }
}

fn only(status: Status, limit: usize) -> Filter {
    Filter { status: Some(status), ..all(limit) }
}

fn newest(mut ids: Vec<TaskId>) -> Vec<TaskId> {
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids
}

async fn newest_first(queue: &mut Harness) {
    let mut ids = queue.submit_plain(3).await;
    ids.extend(queue.submit_plain(2).await);
    assert_eq!(walk(queue, all(2)).await, newest(ids.clone()));
    let page = queue.list(&Filter { before: Some(ids[1]), ..all(10) }).await;
    assert_eq!(page.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [ids[0]]);
    assert_eq!(page.next, None);
}

async fn each_state_is_listed_alone(queue: &mut Harness) {
    let worker = queue.worker().await;
    let plain = queue.submit_plain(10).await;
    let claimed = queue.claim(worker, 8).await;
    queue.finish_all(worker, &claimed[..2], done()).await;
    queue.finish_all(worker, &claimed[2..4], failed()).await;
    queue.finish_all(worker, &claimed[4..6], Outcome::Cancelled).await;
    let scheduled = queue.submit(several(2, &task().after(Duration::from_secs(60)))).await;
    for (status, expected) in [
        (Status::Done, &plain[..2]),
        (Status::Failed, &plain[2..4]),
        (Status::Cancelled, &plain[4..6]),
        (Status::Processing, &plain[6..8]),
        (Status::Queued, &plain[8..]),
        (Status::Scheduled, &scheduled[..]),
    ] {
        for limit in [1, 2, 10] {
            assert_eq!(walk(queue, only(status, limit)).await, newest(expected.to_vec()), "{status:?}");
        }
    }
}

async fn queue_and_kind_filter(queue: &mut Harness) {
    let ax = queue.submit(several(3, &task().lane("a", "x"))).await;
    let ay = queue.submit(several(3, &task().lane("a", "y"))).await;
    let bx = queue.submit(several(3, &task().lane("b", "x"))).await;
    let worker = queue.worker().await;
    let lanes = [("a", "x"), ("a", "y"), ("b", "x")].map(|(queue, kind)| crate::support::tasks::lane(queue, kind));
    let claimed = queue.claim_from(worker, 9, 9, &lanes).await;
    let firsts: Vec<_> = claimed.into_iter().filter(|task| [ax[0], ay[0], bx[0]].contains(&task.id)).collect();
    queue.finish_all(worker, &firsts, done()).await;
    let filter = |of: Option<&str>, kind: Option<&str>, status| Filter {
        queue: of.map(name),
        kind: kind.map(name),
        status,
        ..all(2)
    };
    assert_eq!(walk(queue, filter(Some("a"), None, None)).await, newest([&ax[..], &ay[..]].concat()));
    assert_eq!(walk(queue, filter(None, Some("x"), None)).await, newest([&ax[..], &bx[..]].concat()));
    assert_eq!(walk(queue, filter(Some("a"), Some("x"), None)).await, newest(ax.clone()));
    assert_eq!(walk(queue, filter(Some("b"), Some("y"), None)).await, []);
    assert_eq!(walk(queue, filter(Some("a"), None, Some(Status::Done))).await, newest(vec![ax[0], ay[0]]));
    assert_eq!(walk(queue, filter(Some("b"), None, Some(Status::Processing))).await, newest(bx[1..].to_vec()));
    let among = |queues: &[&str], of: Option<&str>, status| Filter {
        among: Some(queues.iter().map(|queue| name(queue)).collect()),
        ..filter(of, None, status)
    };
    let everything = newest([&ax[..], &ay[..], &bx[..]].concat());
    assert_eq!(walk(queue, among(&["a", "b", "c"], None, None)).await, everything);
    assert_eq!(walk(queue, among(&["b", "c"], None, None)).await, newest(bx.clone()));
    assert_eq!(walk(queue, among(&["b", "c"], Some("a"), None)).await, []);
    assert_eq!(walk(queue, among(&["b"], None, Some(Status::Done))).await, [bx[0]]);
    assert_eq!(walk(queue, among(&["b"], None, Some(Status::Processing))).await, newest(bx[1..].to_vec()));
    assert_eq!(walk(queue, among(&[], None, None)).await, []);
}

async fn a_page_is_never_longer_than_asked(queue: &mut Harness) {
    queue.submit_plain(PAGE_LIMIT + 100).await;
    assert_eq!(queue.list(&all(7)).await.tasks.len(), 7);
    assert_eq!(queue.list(&all(usize::MAX)).await.tasks.len(), PAGE_LIMIT);
    assert_eq!(queue.list(&only(Status::Queued, usize::MAX)).await.tasks.len(), PAGE_LIMIT);
}

async fn a_walk_sees_each_task_once(queue: &mut Harness) {
    let mut ids = queue.submit_plain(1000).await;
    ids.extend(queue.submit(apart(1500, &task())).await);
    for limit in [499, 500] {
        assert_eq!(walk(queue, all(limit)).await, newest(ids.clone()));
        assert_eq!(walk(queue, only(Status::Queued, limit)).await, newest(ids.clone()));
    }
}

/// More rows than a page looks at, and batches that lie across the edge of what it looks at.
async fn a_walk_over_split_batches_sees_each_task_once(queue: &mut Harness) {
    let queued = queue.submit_plain(2500).await;
    let scheduled = queue.submit(several(2500, &task().after(Duration::from_secs(60)))).await;
    split(queue).await;
    for (status, expected) in [(Status::Queued, &queued), (Status::Scheduled, &scheduled)] {
        assert_eq!(walk(queue, only(status, 499)).await, newest(expected.clone()));
    }
    let worker = queue.worker().await;
    let mut claimed = 0;
    while claimed < queued.len() {
        claimed += queue.claim(worker, 1000).await.len();
    }
    assert_eq!(walk(queue, only(Status::Processing, 500)).await, newest(queued));
}

/// A row per task, as claims of one task and retries leave them.
async fn split(queue: &mut Harness) {
    for (table, columns) in [
        ("ready", "queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch"),
        ("scheduled", "run_at, queue, kind, rank, attempt, crashes, max_attempts, timeout_ms, batch"),
    ] {
        let split = format!(
            "WITH gone AS (DELETE FROM taskrow.{table} RETURNING *)
             INSERT INTO taskrow.{table} ({columns}, mask)
             SELECT {columns}, 1::bigint << place FROM gone, taskrow.mask_places(mask) AS place"
        );
        sql::run(&mut queue.durable, &split).await;
    }
}

/// The first window ends within the 32nd batch. The filter matches too little to fill a page, so the next page begins where the
/// window ended, and what it cut off of that batch must be there.
async fn a_batch_across_the_edge_of_a_window_is_on_one_page(queue: &mut Harness) {
    let mut rare = Vec::new();
    for from_newest in (0..40).rev() {
        if from_newest % 8 == 7 {
            rare.extend(queue.submit(several(64, &task().lane("rare", "echo"))).await);
        } else {
            queue.submit_plain(64).await;
        }
    }
    split(queue).await;
    let filter = Filter { queue: Some(name("rare")), ..only(Status::Queued, 500) };
    assert_eq!(queue.list(&filter).await.tasks.len(), 3 * 64);
    assert_eq!(walk(queue, filter).await, newest(rare));
}

async fn a_walk_for_what_few_tasks_match_ends(queue: &mut Harness) {
    let rare = queue.submit_one(task().lane("rare", "echo")).await;
    queue.submit_plain(5000).await;
    queue.submit(apart(4100, &task())).await;
    let filter = Filter { queue: Some(name("rare")), ..all(100) };
    assert_eq!(walk(queue, filter.clone()).await, [rare]);
    assert_eq!(walk(queue, Filter { status: Some(Status::Queued), ..filter.clone() }).await, [rare]);
    assert_eq!(walk(queue, Filter { status: Some(Status::Done), ..filter }).await, []);
}

/// A task that moves may be missed or met by a walk in one state; the others are seen once, whatever moves.
async fn a_walk_goes_on_while_tasks_move(queue: &mut Harness) {
    let ids = queue.submit_plain(300).await;
    let worker = queue.worker().await;
    let mut filter = only(Status::Queued, 50);
    let mut seen = Vec::new();
    loop {
        let page = queue.list(&filter).await;
        seen.extend(page.tasks.iter().map(|task| task.id));
        queue.claim(worker, 5).await;
        let Some(next) = page.next else { break };
        filter.before = Some(next);
    }
    let queued = newest(ids[30..].to_vec());
    let seen: Vec<_> = seen.into_iter().filter(|id| queued.contains(id)).collect();
    assert_eq!(seen, queued);
}
