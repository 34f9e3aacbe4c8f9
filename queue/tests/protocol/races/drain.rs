//! Claimers and submitters at once.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use queue::{
    TaskId,
    claim::{Claimed, Floors, claim},
    finish::{Fenced, finish},
    requeue::{Reason, requeue},
    session,
    submit::{Submission, store},
};
use service::database::Database;
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    Harness, On,
    harness::{done, finished, register, returned},
    random::random,
    tasks::{But, lane, several, task},
};

const TASKS: usize = 20_000;
const SUBMITTERS: usize = 2;
const CLAIMERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);

/// Stores its share in pieces of random size, in three lanes and at three priorities.
async fn submit_share(database: Database, mut random: fastrand::Rng) {
    let connection = database.connect(session::DURABLE).await.unwrap();
    let mut left = TASKS / SUBMITTERS;
    while left > 0 {
        let count = random.usize(1..=500).min(left);
        let queue = ["a", "b", "c"][random.usize(..3)];
        let given = task().lane(queue, "echo").priority(random.i16(-1..=1));
        store(&connection, &Submission::new(several(count, &given))).await.unwrap();
        left -= count;
    }
}

/// Claims until all tasks are done; gives one in twenty back for another attempt. Returns what it claimed.
async fn work(database: Database, mut random: fastrand::Rng, done_so_far: Arc<AtomicUsize>) -> Vec<(TaskId, i16)> {
    let mut durable = database.connect(session::DURABLE).await.unwrap();
    let mut volatile = database.connect(session::VOLATILE).await.unwrap();
    let worker = register(&mut durable, &["a", "b", "c"], &["echo"]).await;
    let mut lanes = ["a", "b", "c"].map(|queue| lane(queue, "echo"));
    let mut floors = Floors::default();
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while done_so_far.load(Ordering::SeqCst) < TASKS {
        assert!(Instant::now() < deadline, "{} of {TASKS} done", done_so_far.load(Ordering::SeqCst));
        lanes.rotate_left(1);
        let (tasks, rows) = (random.usize(1..=200), random.usize(1..=20));
        let claimed = claim(&mut volatile, worker, tasks, rows, &lanes, &mut floors).await.unwrap();
        assert!(claimed.len() <= tasks);
        if claimed.is_empty() {
            floors.clear();
            queue::promote::promote(&mut volatile).await.unwrap();
            continue;
        }
        floors.settle();
        seen.extend(claimed.iter().map(|task| (task.id, task.attempt)));
        let (back, end): (Vec<Claimed>, Vec<Claimed>) =
            claimed.into_iter().partition(|task| task.attempt < task.max_attempts && random.u8(..) < 13);
        let retry = Reason::Retry { delay: Duration::ZERO, error: "again".to_owned() };
        let back: Vec<_> = back.iter().map(|task| returned(task, retry.clone())).collect();
        requeue(&mut durable, worker, &back).await.unwrap();
        let end: Vec<_> = end.iter().map(|task| finished(task, done())).collect();
        let answers = finish(&mut durable, worker, &end).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == Fenced::Applied));
        done_so_far.fetch_add(end.len(), Ordering::SeqCst);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_claimed_once_per_attempt() {
    let mut random = random();
    let mut queue = Harness::new(On::Machine).await;
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        submitters.spawn(submit_share(queue.database.clone(), random.fork()));
    }
    let done_so_far = Arc::new(AtomicUsize::new(0));
    let mut claimers = JoinSet::new();
    for _ in 0..CLAIMERS {
        claimers.spawn(work(queue.database.clone(), random.fork(), done_so_far.clone()));
    }
    submitters.join_all().await;
    let claimed: Vec<(TaskId, i16)> = claimers.join_all().await.concat();
    let distinct: HashSet<_> = claimed.iter().collect();
    assert_eq!(distinct.len(), claimed.len(), "a task was claimed twice in one attempt");
    assert_eq!(claimed.iter().filter(|(_, attempt)| *attempt == 1).count(), TASKS);
    let retries = queue.number("SELECT count(*) FROM taskrow.failures").await;
    assert_eq!(claimed.len() as i64, TASKS as i64 + retries);
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.outcomes WHERE status = 1").await, TASKS as i64);
    queue.check_invariants().await;
}
