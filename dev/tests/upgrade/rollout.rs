//! A release comes while clients submit: the schema first, then the new code beside the old, then the old code goes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{
    database::Database,
    load::{Load, Sent},
    release::Release,
    system::System,
};

/// So many tasks are enough to say that something goes on.
const SOME: i64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn two_releases_on_one_queue_under_load_lose_nothing_and_record_each_task_once() {
    let (previous, current) = (Release::previous(), Release::current());
    let database = Database::empty().await;
    previous.migrates(database.url()).await;
    let mut old = System::start(&previous, database.url(), &[]).await;
    let load = Load::on(&old);
    goes_on(&database, &old, &old).await;

    let known = database.versions().await;
    let log = current.migrates(database.url()).await;
    let brought: Vec<_> = database.versions().await.into_iter().filter(|version| !known.contains(version)).collect();
    assert!(log.contains(&format!("applied={:?}", applied(&brought))), "{log}");
    looks_again(&database, &old).await;
    goes_on(&database, &old, &old).await;

    let mut new = System::start(&current, database.url(), &[]).await;
    load.add(&new);
    for api in [&old.api, &new.api] {
        let (_, list) = api.get("/workers").await;
        assert_eq!(alive(&list), [(old.worker_id, old.version.clone()), (new.worker_id, new.version.clone())]);
    }
    for (submitter, runner) in [(&old, &old), (&old, &new), (&new, &old), (&new, &new)] {
        goes_on(&database, submitter, runner).await;
    }
    assert_eq!(load.sent().refused, [], "while nobody stops, nobody refuses");

    old.stop().await;
    load.remove(&old);
    let left = format!("SELECT count(*) FROM taskrow.leases WHERE worker = {}", old.worker_id);
    assert_eq!(database.count(&left).await, 0, "what the old worker had not started went back");
    goes_on(&database, &new, &new).await;

    let sent = load.stop().await;
    assert!(sent.refused.iter().all(|(version, _)| *version == old.version), "{:?}", sent.refused);
    database.settled().await;
    each_is_done_once(&database, &sent).await;
    assert_eq!([old.complaints(), new.complaints()].concat(), Vec::<String>::new());
    new.stop().await;
}

/// How `migrate` names the versions it applied.
fn applied(versions: &[String]) -> String {
    if versions.is_empty() { "nothing to do".to_owned() } else { versions.join(", ") }
}

/// Waits until the worker of `runner` has run some more tasks that the api of `submitter` took.
async fn goes_on(database: &Database, submitter: &System, runner: &System) {
    let sql = format!(
        "SELECT count(*) FROM taskrow.records JOIN taskrow.outcomes ON task_id = id
         WHERE payload ->> 'by' = '{}' AND worker = {}",
        submitter.version, runner.worker_id
    );
    let before = database.count(&sql).await;
    database.counts(before + SOME, &sql).await;
}

/// Waits until api and worker have looked at the database from now on, and asserts that they are still ready.
async fn looks_again(database: &Database, system: &System) {
    let now = &database.lines("SELECT clock_timestamp()").await[0];
    let looks = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'taskrow api health'";
    database.counts(1, &format!("SELECT count(*) {looks} AND query_start > '{now}' AND state = 'idle'")).await;
    let beats = format!("FROM taskrow.workers WHERE id = {} AND heartbeat_at > '{now}'", system.worker_id);
    database.counts(1, &format!("SELECT count(*) {beats}")).await;
    system.api.ready().await;
    system.worker.ready().await;
}

/// Identity and version of the workers that live, by age.
fn alive(list: &Value) -> Vec<(i64, String)> {
    let workers = list["workers"].as_array().expect("a list").iter().filter(|worker| worker["state"] == "alive");
    let mut alive: Vec<_> = workers
        .map(|worker| (worker["id"].as_i64().expect("a number"), worker["version"].as_str().expect("text").to_owned()))
        .collect();
    alive.sort_unstable();
    alive
}

/// Every accepted task ended once, as its payload wants it, at the first attempt; and hardly anything else is there: what was
/// stored by requests that broke.
async fn each_is_done_once(database: &Database, sent: &Sent) {
    let done: BTreeSet<_> = database.done_at(1).await.into_iter().collect();
    let accepted: BTreeSet<_> = sent.accepted.iter().cloned().collect();
    assert_eq!(accepted.len(), sent.accepted.len(), "an id was given twice");
    let lost: Vec<_> = accepted.difference(&done).collect();
    assert!(lost.is_empty(), "accepted, and not done at the first attempt: {lost:?}");
    let unasked = done.len() - accepted.len();
    assert!(unasked <= sent.refused.len(), "{unasked} more were done than accepted; {:?}", sent.refused);
    for table in ["records", "outcomes"] {
        let rows = database.count(&format!("SELECT count(*) FROM taskrow.{table}")).await;
        assert_eq!(usize::try_from(rows), Ok(done.len()), "{table}");
    }
    assert_eq!(database.count("SELECT count(*) FROM taskrow.failures").await, 0);
    let altered = "SELECT count(*) FROM taskrow.records JOIN taskrow.outcomes ON task_id = id
                   WHERE kind = 'echo' AND result::text IS DISTINCT FROM payload::text";
    assert_eq!(database.count(altered).await, 0, "an echo is its payload");
}
