//! Big tables are never read from end to end, and what is read depends on what is asked for.

use diesel_async::AsyncPgConnection;
use queue::BatchId;
use uuid::Uuid;

use super::{
    Planned, big_queue,
    explain::explain,
    fill::{LEASES, WORKERS},
    statements::{LOOK, LOOKUP, look, lookup},
};
use crate::support::{Harness, sql};

#[tokio::test]
async fn of_plans_made_when_the_tables_were_empty() {
    reads_are_bounded(Planned::WhenEmpty).await;
}

#[tokio::test]
async fn of_plans_made_by_old_statistics() {
    reads_are_bounded(Planned::ByOldStatistics).await;
}

#[tokio::test]
async fn of_plans_made_by_good_statistics() {
    reads_are_bounded(Planned::ByGoodStatistics).await;
}

async fn reads_are_bounded(planned: Planned) {
    let mut queue = big_queue(planned).await;
    claiming(&mut queue).await;
    finishing(&mut queue).await;
    rescuing(&mut queue).await;
    promoting(&mut queue).await;
    one_task(&mut queue).await;
    many_tasks(&mut queue).await;
}

/// The first column of a query as the elements of an array.
async fn array(connection: &mut AsyncPgConnection, query: &str) -> String {
    let lines = sql::lines(connection, query).await;
    format!("'{{{}}}'", lines.join(","))
}

const FINISH: &str = "INSERT INTO taskrow.outcomes (task_id, worker, attempt, status, result, error, claimed_at)";
const ALIVE: &str = "(SELECT max(id) FROM taskrow.workers WHERE dead_at IS NULL)";

async fn claiming(queue: &mut Harness) {
    let worker = queue.number(&format!("SELECT {ALIVE}")).await;
    let lane = "'{-32768}', '{-9223372036854775808}', '{32767}'";
    let front = format!("{worker}, 64, 64, '{{default}}', '{{echo}}', {lane}");
    let claim = explain(&mut queue.volatile, "segments AS MATERIALIZED", &front).await;
    assert_eq!(claim.rows(), 64.0);
    // A row of ready: chosen, and deleted by ctid; a row of records. One look for the head of each lane.
    claim.is_bounded("claim of 64 batches", 64.0 * 4.0);
    let one = format!("{worker}, 1, 64, '{{default}}', '{{echo}}', {lane}");
    explain(&mut queue.volatile, "segments AS MATERIALIZED", &one).await.is_bounded("claim of one task", 64.0 * 4.0);
    let small = format!("{worker}, 1, 1, '{{default}}', '{{echo}}', {lane}");
    explain(&mut queue.volatile, "segments AS MATERIALIZED", &small).await.is_bounded("claim of one batch", 8.0);
    let idle = format!(
        "{worker}, 64, 64, '{{a,b,default,c}}', '{{echo,echo,other,echo}}', \
         '{{-32768,-32768,-32768,-32768}}', '{{0,0,0,0}}', '{{32767,32767,32767,32767}}'"
    );
    explain(&mut queue.volatile, "segments AS MATERIALIZED", &idle)
        .await
        .is_bounded("claim in lanes without tasks", 4.0);
    let told = "SELECT batch FROM taskrow.ready WHERE queue = 'default' AND kind = 'echo' ORDER BY seq DESC LIMIT 64";
    let told = array(&mut queue.volatile, told).await;
    let batches = format!("{worker}, 64, {told}, '{{default}}', '{{echo}}'");
    let claim = explain(&mut queue.volatile, "unnest($3::uuid[]) AS b(batch)", &batches).await;
    assert_eq!(claim.rows(), 64.0);
    // A row of ready: found by its batch, and deleted by ctid; a row of records.
    claim.is_bounded("claim of 64 batches that were told", 64.0 * 3.0);
}

async fn finishing(queue: &mut Harness) {
    let worker = queue.number("SELECT min(worker) FROM taskrow.leases").await;
    let some = format!("taskrow.leases WHERE worker = {worker} ORDER BY id LIMIT 64");
    let leases = array(&mut queue.durable, &format!("SELECT id FROM {some}")).await;
    let ids = array(&mut queue.durable, &format!("SELECT taskrow.batch_task(batch, 0) FROM {some}")).await;
    let of = |value: &str| format!("'{{{}}}'", vec![value; 64].join(","));
    let (ones, nothing) = (of("1"), of("NULL"));
    let given_to_finish = format!("{worker}, {leases}, {ids}, {ones}, {nothing}, {nothing}");
    let finish = explain(&mut queue.durable, FINISH, &given_to_finish).await;
    assert_eq!(finish.rows(), 64.0);
    // A lease: locked, and looked up to be shrunk or deleted.
    finish.is_bounded("finish of 64 leases", 64.0 * 3.0);
    // Nobody has ever used them.
    finish.reads_nothing_of("callbacks");
    let given = format!("{worker}, {ids}, {ones}");
    let repeat = explain(&mut queue.durable, "o.status = g.status", &given).await;
    repeat.is_bounded("looking for outcomes written before", 64.0);
    callbacks(queue, &given_to_finish).await;
    for action in ["1", "2", "3"] {
        let given = format!("{worker}, {leases}, {ids}, {}, {}, {nothing}", of(action), of("1000"));
        let requeue = explain(&mut queue.durable, "moved AS MATERIALIZED", &given).await;
        assert_eq!(requeue.rows(), 64.0);
        requeue.is_bounded("giving back 64 leases", 64.0 * 3.0);
    }
}

/// Many tasks have callbacks, and few of them those that end.
async fn callbacks(queue: &mut Harness, given_to_finish: &str) {
    sql::run(
        &mut queue.durable,
        "INSERT INTO taskrow.callbacks (task_id, url) SELECT task_id, 'x' FROM taskrow.outcomes LIMIT 5000;
         INSERT INTO taskrow.callbacks (task_id, url) SELECT batch, 'x' FROM taskrow.leases;
         UPDATE taskrow.callbacks SET due_at = now() WHERE task_id IN (SELECT task_id FROM taskrow.outcomes LIMIT 100)",
    )
    .await;
    let finish = explain(&mut queue.durable, FINISH, given_to_finish).await;
    finish.is_bounded("finish of 64 leases with callbacks", 64.0 * 5.0);
    let batches = format!("'{{{}}}'", (0..64).map(|_| BatchId::new().uuid().to_string()).collect::<Vec<_>>().join(","));
    let make = explain(&mut queue.durable, "told AS MATERIALIZED", &format!("{batches}, 'x', 1, 1000")).await;
    assert_eq!(make.rows(), 64.0);
    // A callback: chosen, and deleted. An outcome: seen to be there, and read. A record.
    make.is_bounded("64 callbacks", 64.0 * 5.0 + 64.0);
    let sweep = explain(&mut queue.durable, "ended AS MATERIALIZED", &format!("'{}', 1000", Uuid::nil())).await;
    // A row that is not due, locked, marked, and its outcome; those that are due lie between.
    sweep.is_bounded("a page of a sweep", 1000.0 * 4.0 + 100.0);
    sql::run(&mut queue.durable, "TRUNCATE taskrow.callbacks").await;
}

async fn rescuing(queue: &mut Harness) {
    let mark = explain(&mut queue.durable, "UPDATE taskrow.workers SET dead_at", "100").await;
    mark.is_bounded("marking the dead", 0.0);
    explain(&mut queue.durable, "DELETE FROM taskrow.workers w", "3600").await.is_bounded("forgetting the dead", 100.0);
    let idle = explain(&mut queue.durable, "WITH gone AS MATERIALIZED", "500, 5").await;
    idle.is_bounded("rescue when nobody died", 0.0);
    sql::run(
        &mut queue.durable,
        "INSERT INTO taskrow.workers (lease_ttl_ms, concurrency, name, version, queues, kinds, dead_at)
         SELECT 1, 1, 'dead', '', '{}', '{}', now() FROM generate_series(1, 50)",
    )
    .await;
    let nothing_left = explain(&mut queue.durable, "WITH gone AS MATERIALIZED", "500, 5").await;
    nothing_left.is_bounded("rescue of workers that held nothing", 0.0);
    // All workers died: a page of leases is chosen from them and deleted.
    sql::run(
        &mut queue.durable,
        "UPDATE taskrow.workers SET dead_at = now() WHERE id IN (SELECT worker FROM taskrow.leases)",
    )
    .await;
    let rescue = explain(&mut queue.durable, "WITH gone AS MATERIALIZED", "100, 5").await;
    // (PostgreSQL 15 rounds the rows of a loop.)
    rescue.is_bounded("rescue of 100 leases", 2.0 * 100.0 + 50.0);
    sql::run(&mut queue.durable, "UPDATE taskrow.workers SET dead_at = NULL WHERE name <> 'dead'").await;
    let worker = queue.number("SELECT min(worker) FROM taskrow.leases").await;
    let beat = explain(&mut queue.volatile, "WITH beat AS", &worker.to_string()).await;
    beat.is_bounded("heartbeat", 0.0);
    let cancel = format!("UPDATE taskrow.leases SET cancelled = 1 WHERE worker = {worker} AND id % 10 = 0");
    sql::run(&mut queue.durable, &cancel).await;
    let beat = explain(&mut queue.volatile, "WITH beat AS", &worker.to_string()).await;
    beat.is_bounded("heartbeat with cancellations", (LEASES / WORKERS / 10) as f64);
}

async fn promoting(queue: &mut Harness) {
    explain(&mut queue.volatile, "WITH due AS", "1000").await.is_bounded("promotion of nothing", 2.0);
    let make_due = "UPDATE taskrow.scheduled SET run_at = now() - interval '1 hour'
                    WHERE batch IN (SELECT batch FROM taskrow.scheduled ORDER BY run_at LIMIT 10)";
    sql::run(&mut queue.durable, make_due).await;
    let promote = explain(&mut queue.volatile, "WITH due AS", "1000").await;
    promote.is_bounded("promotion of ten batches", 10.0 * 2.0 + 2.0);
}

async fn one_task(queue: &mut Harness) {
    for (of, task) in [
        ("an ended task", "SELECT task_id FROM taskrow.outcomes LIMIT 1"),
        ("a queued task", "SELECT batch FROM taskrow.ready LIMIT 1"),
        ("a processing task", "SELECT batch FROM taskrow.leases LIMIT 1"),
        ("a scheduled task", "SELECT batch FROM taskrow.scheduled LIMIT 1"),
    ] {
        let id = sql::lines(&mut queue.durable, task).await.remove(0);
        let get = explain(&mut queue.volatile, LOOKUP, &lookup(std::slice::from_ref(&id))).await;
        assert_eq!(get.rows(), 1.0);
        // A row of records, and one of where it stands.
        get.is_bounded(of, 2.0);
        let looked = explain(&mut queue.volatile, LOOK, &look(std::slice::from_ref(&id), true)).await;
        assert_eq!(looked.rows(), 1.0);
        looked.is_bounded(of, 1.0);
        let arguments = format!("'{id}', taskrow.task_batch('{id}'), taskrow.task_bit('{id}')");
        for part in ["shrunk AS (UPDATE taskrow.ready", "shrunk AS (UPDATE taskrow.scheduled"] {
            explain(&mut queue.durable, part, &arguments).await.is_bounded("cancel", 4.0);
        }
        let arguments = format!("taskrow.task_batch('{id}'), taskrow.task_bit('{id}')");
        explain(&mut queue.durable, "UPDATE taskrow.leases SET cancelled", &arguments).await.is_bounded("cancel", 2.0);
        explain(&mut queue.durable, "SELECT true, coalesce((SELECT status", &format!("'{id}'"))
            .await
            .is_bounded("cancel", 2.0);
        explain(&mut queue.durable, "SELECT coalesce((SELECT status", &format!("'{id}'"))
            .await
            .is_bounded("retry", 2.0);
    }
    let failed =
        sql::lines(&mut queue.durable, "SELECT task_id FROM taskrow.outcomes WHERE status = 2 LIMIT 1").await.remove(0);
    let retry = explain(&mut queue.durable, "WITH gone AS (DELETE FROM taskrow.outcomes", &format!("'{failed}'")).await;
    assert_eq!(retry.rows(), 1.0);
    // The outcome, the record, and an attempt before.
    retry.is_bounded("retry", 3.0);
}

async fn many_tasks(queue: &mut Harness) {
    // Of one day, for the run may pass midnight.
    let ended = "SELECT task_id FROM taskrow.outcomes WHERE tableoid = (SELECT max(tableoid) FROM taskrow.outcomes)
                 ORDER BY md5(task_id::text) LIMIT 64";
    let mut ids = sql::lines(&mut queue.durable, ended).await;
    let get = explain(&mut queue.volatile, LOOKUP, &lookup(&ids)).await;
    assert_eq!(get.rows(), 64.0);
    get.is_bounded("64 ended tasks", 2.0 * 64.0);
    // Neither where an open task may stand nor other days are looked into.
    let [outcomes, records] = &get.tables()[..] else { panic!("looks into {:?}", get.tables()) };
    assert!(outcomes.starts_with("outcomes_2") && records.starts_with("records_2"), "{outcomes}, {records}");

    let table = |name: &str| format!("SELECT batch FROM taskrow.{name} LIMIT 16");
    for open in ["ready", "leases", "scheduled"] {
        ids.extend(sql::lines(&mut queue.durable, &table(open)).await);
    }
    let get = explain(&mut queue.volatile, LOOKUP, &lookup(&ids)).await;
    assert_eq!(get.rows(), 112.0);
    get.is_bounded("112 tasks, 48 of them open", 2.0 * 112.0);
    let states = explain(&mut queue.volatile, LOOK, &look(&ids, true)).await;
    assert_eq!(states.rows(), 112.0);
    states.is_bounded("looks at 112 tasks, 48 of them open", 112.0);
    let outcomes = explain(&mut queue.volatile, LOOK, &look(&ids, false)).await;
    assert_eq!(outcomes.rows(), 64.0);
    // (PostgreSQL 15 rounds the rows of a loop.)
    outcomes.is_bounded("looks for 112 outcomes, 48 of which are not there", 112.0);
    assert!(outcomes.tables().iter().all(|table| table.starts_with("outcomes_")), "{:?}", outcomes.tables());
}
