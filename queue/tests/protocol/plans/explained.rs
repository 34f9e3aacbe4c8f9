//! Explaining a task is bounded, whatever the backlog, the statistics, and the snapshots that others hold.

use diesel_async::AsyncPgConnection;
use queue::explain;
use service::database::Session;

use super::{Planned, big_queue, explain::explain as read, fill::LEASES, statements};
use crate::support::{
    Harness, On,
    gate::Gate,
    sql,
    tasks::{apart, task},
};

/// Batches counted ahead of a task, and attempts told: `queue::explain`'s limits.
const AHEAD: f64 = 1000.0;
const ATTEMPTS: f64 = 51.0;

const STAND: &str = "x.cancelled & $3 <> 0";
const COUNT: &str = "AS ahead";
const PAST: &str = "FROM taskrow.failures WHERE task_id = $1 ORDER BY";
const LIVE: &str = "AS serves";

#[tokio::test]
async fn of_plans_made_when_the_tables_were_empty() {
    explaining_is_bounded(Planned::WhenEmpty).await;
}

#[tokio::test]
async fn of_plans_made_by_old_statistics() {
    explaining_is_bounded(Planned::ByOldStatistics).await;
}

#[tokio::test]
async fn of_plans_made_by_good_statistics() {
    explaining_is_bounded(Planned::ByGoodStatistics).await;
}

async fn explaining_is_bounded(planned: Planned) {
    let mut queue = big_queue(planned).await;
    // A connection as the pool's, with the settings that the transaction makes: it plans for the values at first.
    let mut pooled = queue.connect(Session::POOL).await;
    sql::run(
        &mut pooled,
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_mergejoin = off; SET jit = off",
    )
    .await;
    for table in ["leases", "ready"] {
        let id = sql::lines(&mut queue.durable, &format!("SELECT batch FROM taskrow.{table} LIMIT 1")).await.remove(0);
        explain::explain(&mut pooled, queue::TaskId::from_uuid(id.parse().unwrap())).await.unwrap().expect("a task");
    }
    each_is_bounded(&mut queue.durable, &mut pooled).await;
    let Harness { durable, volatile, .. } = &mut queue;
    each_is_bounded(durable, volatile).await;
}

async fn each_is_bounded(look: &mut AsyncPgConnection, connection: &mut AsyncPgConnection) {
    for (of, task) in [
        ("an ended task", "SELECT task_id FROM taskrow.failures LIMIT 1"),
        ("a queued task", "SELECT batch FROM taskrow.ready LIMIT 1"),
        ("a processing task", "SELECT batch FROM taskrow.leases LIMIT 1"),
        ("a scheduled task", "SELECT batch FROM taskrow.scheduled LIMIT 1"),
    ] {
        let id = sql::lines(look, task).await.remove(0);
        let stand = format!("'{id}', taskrow.task_batch('{id}'), taskrow.task_bit('{id}')");
        let stand = read(connection, STAND, &stand).await;
        assert_eq!(stand.rows(), 1.0);
        stand.is_bounded(of, 2.0);
        read(connection, PAST, &format!("'{id}', {ATTEMPTS}, 1000")).await.is_bounded("its attempts", ATTEMPTS);
    }
    let places = "SELECT (min(seq) || ',' || max(seq)) FROM taskrow.ready WHERE queue = 'default' AND kind = 'echo'";
    let places = sql::lines(look, places).await.remove(0);
    for seq in places.split(',') {
        let count = read(connection, COUNT, &format!("'default', 'echo', 0, {seq}, 0, {AHEAD}")).await;
        count.is_bounded("what is ahead", AHEAD);
    }
    read(connection, LIVE, "'default', 'echo', 10, 50").await.is_bounded("the live workers", 0.0);
}

/// With a backlog what is nearest to a task is live. Without one the count reaches the front, and costs what a claim from there does.
#[tokio::test]
async fn dead_entries_are_met_at_the_front_only() {
    const DEAD: usize = 100_000;
    let mut queue = Harness::new(On::Machine).await;
    statements::run_each(&mut queue).await;
    let old =
        Gate::shut(&queue, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM taskrow.ready").await;
    let come_and_go = format!(
        "INSERT INTO taskrow.ready (mask, timeout_ms, rank, max_attempts, batch, queue, kind)
         SELECT 1, 1, 0, 1, '00000000-0000-0000-0000-000000000000', 'default', 'echo' FROM generate_series(1, {DEAD})"
    );
    sql::run(&mut queue.durable, &come_and_go).await;
    sql::run(&mut queue.durable, "DELETE FROM taskrow.ready").await;
    queue.submit(apart(LEASES, &task())).await;
    let worker = queue.worker().await.0;
    let place = async |queue: &mut Harness, nth: usize| {
        let seq = queue.number(&format!("SELECT seq FROM taskrow.ready ORDER BY seq OFFSET {nth} LIMIT 1")).await;
        let count = format!("'default', 'echo', 0, {seq}, 0, {AHEAD}");
        read(&mut queue.volatile, COUNT, &count).await.pages()
    };
    let (near, far) = (place(&mut queue, 500).await, place(&mut queue, LEASES - 1).await);
    let claim =
        format!("{worker}, 1, 1, '{{default}}', '{{echo}}', '{{-32768}}', '{{-9223372036854775808}}', '{{32767}}'");
    let claim = read(&mut queue.volatile, "segments AS MATERIALIZED", &claim).await.pages();
    assert!(far < 1500.0, "{far} pages");
    assert!(near > 2.0 * far, "nothing was in the way: {near} pages near the front, {far} far from it");
    assert!(near < 1.5 * claim + 1500.0, "{near} pages near the front, {claim} of a claim");
    old.open().await;
}
