//! The code goes back to the previous release, the schema stays.

use serde_json::json;

use crate::support::{database::Database, process::Process, release::Release, system::System};

/// Tasks that [`submit`] submits.
const PER_SUBMIT: i64 = 60;

/// Tasks of both kinds, some by way of `scheduled`.
async fn submit(api: &Process, ids: &mut Vec<String>) {
    for turn in 0..PER_SUBMIT / 3 {
        let payload = json!({"turn": turn, "ms": 1});
        for options in ["kind=echo", "kind=sleep", "kind=echo&delay=1s"] {
            ids.push(api.post(&format!("/tasks?{options}"), &payload).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_release_goes_on_with_what_this_one_left() {
    let (previous, current) = (Release::previous(), Release::current());
    let database = Database::empty().await;
    current.migrates(database.url()).await;
    let mut new = System::start(&current, database.url(), &[]).await;
    let mut ids = Vec::new();
    submit(&new.api, &mut ids).await;
    database.settled().await;
    new.worker.stop().await;
    // Nobody runs these before the rollback.
    submit(&new.api, &mut ids).await;
    new.api.stop().await;

    let mut old = System::start(&previous, database.url(), &[]).await;
    submit(&old.api, &mut ids).await;
    database.settled().await;
    let done = database.done_at(1).await;
    assert_eq!(done.len(), ids.len());
    let by = format!("SELECT count(*) FROM taskrow.outcomes WHERE worker = {}", old.worker_id);
    assert_eq!(database.count(&by).await, 2 * PER_SUBMIT);
    for id in &ids {
        let (status, task) = old.api.get(&format!("/tasks/{id}")).await;
        assert_eq!((status, &task["status"]), (200, &json!("done")), "{task}");
        assert_eq!(
            task["result"],
            if task["kind"] == "echo" { task["payload"].clone() } else { json!({"slept_ms": 1}) }
        );
    }
    assert_eq!(old.complaints(), Vec::<String>::new());
    old.stop().await;
}

/// Going back applies the old manifests, and so the old Job.
#[tokio::test]
async fn the_previous_migrate_leaves_this_schema_alone() {
    let (previous, current) = (Release::previous(), Release::current());
    let database = Database::empty().await;
    current.migrates(database.url()).await;
    let (shape, versions) = (database.shape().await, database.versions().await);
    let log = previous.migrates(database.url()).await;
    assert!(log.contains("nothing to do"), "{log}");
    assert_eq!(previous.migrate(database.url(), &["--wait"]).await.code, Some(0));
    let status = previous.migrate(database.url(), &["status"]).await;
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert_eq!(status.stdout.lines().count(), versions.len(), "{}", status.stdout);
    for (line, version) in status.stdout.lines().zip(&versions) {
        assert!(line.starts_with("applied") && line.contains(version), "{line}");
    }
    assert_eq!((database.shape().await, database.versions().await), (shape, versions));
}
