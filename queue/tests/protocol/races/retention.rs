//! Dropping old days while everything else goes on.

use std::time::Duration;

use queue::{
    Status,
    inspect::{Filter, list},
    retention::clean_up,
    retry::{Retried, retry},
    session,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{
    Harness, On,
    aging::{age, days_ago, older, partition},
    gate::Gate,
    harness::done,
    sql,
};

const RETENTION: Duration = Duration::from_secs(5 * 24 * 3600);

/// A retry by hand that is under way keeps its day, or finds nothing; it never loses its task.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_against_the_drop_of_its_day() {
    let mut queue = Harness::new(On::Machine).await;
    let mut cleaner = queue.connect(session::CLEANUP).await;
    for _ in 0..20 {
        let id = queue.submit_plain(1).await[0];
        queue.cancel(id).await;
        let day = days_ago(&mut queue.durable, 10).await;
        if queue
            .number(&format!("SELECT count(*) FROM pg_class WHERE relname = 'records_{}'", day.format("%Y%m%d")))
            .await
            == 0
        {
            partition(&mut queue.durable, day).await;
        }
        age(&mut queue.durable, 10).await;
        let id = older(id, 10);
        let (retried, cleaned) = tokio::join!(retry(&mut queue.durable, id), clean_up(&mut cleaner, RETENTION, 0));
        let cleaned = cleaned.unwrap();
        match retried.unwrap() {
            Retried::Queued(_) => {
                assert_eq!(cleaned.days_kept, [day]);
                assert_eq!(queue.status(id).await, Status::Queued);
                queue.cancel(id).await;
                age(&mut queue.durable, 10).await;
                sql::run(&mut queue.durable, "TRUNCATE taskrow.records, taskrow.outcomes").await;
            }
            Retried::NotFound => assert_eq!(cleaned.days_dropped, [day]),
            other => panic!("{other:?}"),
        }
        queue.check_invariants().await;
    }
}

/// The cleaner looked before the retry had committed: it must look again once it has its locks.
#[tokio::test]
async fn a_retry_under_way_keeps_its_day() {
    let mut queue = Harness::new(On::Machine).await;
    let day = days_ago(&mut queue.durable, 10).await;
    partition(&mut queue.durable, day).await;
    let id = queue.submit_plain(1).await[0];
    queue.cancel(id).await;
    age(&mut queue.durable, 10).await;
    let id = older(id, 10);
    let mut cleaner = queue.connect(session::CLEANUP).await;
    // The place in the lane that the retry is going to take.
    let take_next_place = "
        INSERT INTO taskrow.ready (seq, mask, timeout_ms, rank, max_attempts, batch, queue, kind)
        SELECT last_value + is_called::integer, 1, 1, 0, 1, '00000000-0000-0000-0000-000000000000', 'default', 'echo'
        FROM taskrow.ready_seq";
    let mut gate = Gate::shut(&queue, take_next_place).await;
    let (retried, cleaned) = tokio::join!(retry(&mut queue.durable, id), async {
        gate.has_queue_of(1).await;
        let (cleaned, ()) = tokio::join!(clean_up(&mut cleaner, RETENTION, 0), async {
            gate.has_queue_of(2).await;
            gate.open().await;
        });
        cleaned.unwrap()
    });
    assert!(matches!(retried.unwrap(), Retried::Queued(_)));
    assert_eq!(cleaned.days_kept, [day]);
    assert_eq!(queue.status(id).await, Status::Queued);
}

/// Statements take their tables in different orders; the one that locks whole tables must give way, not deadlock.
#[tokio::test]
async fn a_drop_gives_way_to_a_statement_that_has_one_table_and_wants_another() {
    let mut queue = Harness::new(On::Machine).await;
    let day = days_ago(&mut queue.durable, 10).await;
    partition(&mut queue.durable, day).await;
    let id = queue.submit_plain(1).await[0];
    let mut cleaner = queue.connect(session::CLEANUP).await;
    // What a retry holds when it has removed the outcome and looks for the record.
    let mut gate = Gate::shut(&queue, "SELECT FROM taskrow.outcomes FOR UPDATE").await;
    let (cleaned, found) = tokio::join!(clean_up(&mut cleaner, RETENTION, 0), async {
        gate.has_queue_of(1).await;
        let found = gate.number("SELECT count(*) FROM taskrow.records").await;
        gate.open().await;
        found
    });
    assert_eq!(found, 1);
    let cleaned = cleaned.unwrap();
    assert_eq!(cleaned.days_dropped.len() + cleaned.days_kept.len(), 1);
    assert_eq!(queue.status(id).await, Status::Queued);
}

/// Cleaning over and over under load: nothing fails, nothing open is lost.
#[tokio::test(flavor = "multi_thread")]
async fn cleaning_under_load() {
    let mut queue = Harness::new(On::Machine).await;
    let stop = CancellationToken::new();
    let mut traffic = JoinSet::new();
    for n in 0..3 {
        let database = queue.database.clone();
        let stop = stop.clone();
        traffic.spawn(async move {
            let mut connection = database.connect(session::DURABLE).await.unwrap();
            let mut other = database.connect(session::VOLATILE).await.unwrap();
            let worker = crate::support::harness::register(&mut connection, &["default"], &["echo"]).await;
            while !stop.is_cancelled() {
                let submission = queue::submit::Submission::new(vec![crate::support::tasks::task(); 5]);
                queue::submit::store(&connection, &submission).await.unwrap();
                let id = submission.ids()[n];
                queue::cancel::cancel(&mut connection, id).await.unwrap();
                retry(&mut connection, id).await.unwrap();
                let lanes = [crate::support::tasks::default_lane()];
                let claimed =
                    queue::claim::claim(&mut other, worker, 5, 5, &lanes, &mut Default::default()).await.unwrap();
                let given: Vec<_> =
                    claimed.iter().map(|task| crate::support::harness::finished(task, done())).collect();
                queue::finish::finish(&mut connection, worker, &given).await.unwrap();
                let filter = Filter { limit: 5, status: Some(Status::Failed), ..Filter::default() };
                list(&mut other, &filter).await.unwrap();
            }
        });
    }
    let mut cleaner = queue.connect(session::CLEANUP).await;
    let mut dropped = 0;
    for days in 10..30 {
        let day = days_ago(&mut queue.durable, days).await;
        partition(&mut cleaner, day).await;
        dropped += clean_up(&mut cleaner, RETENTION, 3).await.unwrap().days_dropped.len();
    }
    stop.cancel();
    traffic.join_all().await;
    dropped += clean_up(&mut cleaner, RETENTION, 3).await.unwrap().days_dropped.len();
    assert_eq!(dropped, 20);
    queue.check_invariants().await;
}
