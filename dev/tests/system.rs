//! `make run` as a user meets it: the real process, its output, its ports, its exit code.

mod support;

use std::{collections::BTreeSet, fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Local, eventually, exited};

#[tokio::test]
async fn a_task_runs_and_the_data_stays_between_runs() {
    // Readable by the user that root's Postgres runs as.
    let data = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let local = Local::start(&[("TASKROW_DATA", data.path().join("dev").to_str().unwrap())]).await;
    let posted: Value = local.post("/tasks", &json!({"input": "hello"})).await;
    let path = format!("/tasks/{}", posted["id"].as_str().unwrap());
    let task = eventually(async || Some(local.get(&path).await).filter(|task| task["status"] == "done")).await;
    assert_eq!(task["payload"], json!({"input": "hello"}));
    assert_eq!(task["result"], json!({"input": "hello"}));
    assert_eq!(local.stop(Signal::INT).await, Some(0), "Ctrl-C stops everything in order");

    let again = Local::start(&[("TASKROW_DATA", data.path().join("dev").to_str().unwrap())]).await;
    assert_eq!(again.get(&path).await["result"], json!({"input": "hello"}));
    assert_eq!(again.stop(Signal::TERM).await, Some(0));
}

#[tokio::test]
async fn database_url_names_the_database_to_use() {
    let database = local_pg::testing::empty_database().await;
    let local = Local::start(&[("DATABASE_URL", database.url())]).await;
    let posted = local.post("/tasks?kind=sleep", &json!({"ms": 1})).await;
    let path = format!("/tasks/{}", posted["id"].as_str().unwrap());
    eventually(async || Some(local.get(&path).await).filter(|task| task["status"] == "done")).await;
    assert_eq!(local.stop(Signal::INT).await, Some(0));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let database = local_pg::testing::empty_database().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for variable in ["API_BIND", "WORKER_BIND"] {
        let (code, stderr) = exited(&[("DATABASE_URL", database.url()), (variable, &address)]).await;
        assert_eq!(code, Some(69), "{stderr}");
        assert!(stderr.contains(&address) && stderr.contains(variable), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[tokio::test]
async fn bad_configuration_is_one_line_and_64() {
    for (variable, value) in [
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_LEASE_TTL", "1s"),
        ("API_BODY_LIMIT", "1 lorry"),
        ("DATABASE_URL", "mysql://root@localhost/app"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "a=b=c"),
    ] {
        let (code, stderr) = exited(&[("TASKROW_DATA", "never-used"), (variable, value)]).await;
        assert_eq!(code, Some(64), "{variable}={value}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(!Path::new("never-used").exists(), "nothing is started on a bad configuration");
}

#[tokio::test]
async fn the_metrics_documented_are_the_metrics_served() {
    let database = local_pg::testing::empty_database().await;
    // This mode has all that the other one has, and more.
    let local = Local::start(&[("DATABASE_URL", database.url()), ("QUEUE_BACKEND", "redis")]).await;
    let posted = local.post("/tasks", &json!(1)).await;
    let path = format!("/tasks/{}", posted["id"].as_str().unwrap());
    eventually(async || Some(local.get(&path).await).filter(|task| task["status"] == "done")).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let documented: BTreeSet<_> =
        document.split('`').skip(1).step_by(2).filter(|name| name.starts_with("taskrow_")).map(str::to_owned).collect();
    // The first scrape asks for the queues' figures; they come with a later one.
    eventually(async || {
        let text = local.text("/metrics").await + &local.worker_text("/metrics").await;
        let served: BTreeSet<_> = text.lines().filter_map(metric).collect();
        (documented == served).then_some(()).ok_or_else(|| {
            format!(
                "documented, not served: {:?}; served, not documented: {:?}",
                documented.difference(&served),
                served.difference(&documented)
            )
        })
    })
    .await;
    local.stop(Signal::INT).await;
}

/// The metric that a `# TYPE` line announces, with the suffix that its samples carry.
fn metric(line: &str) -> Option<String> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
}
