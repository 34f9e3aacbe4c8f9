//! What the binary says to its settings, and its subcommand.

use crate::support::{
    process::{Process, run},
    queue::{Queue, task},
};

/// Each with what its message must name.
const BAD: &[(&[(&str, &str)], &str)] = &[
    (&[("WORKER_CONCURRENCY", "0")], "WORKER_CONCURRENCY"),
    (&[("WORKER_CONCURRENCY", "10001")], "WORKER_CONCURRENCY"),
    (&[("WORKER_CONCURRENCY", "abc")], "concurrency"),
    (&[("WORKER_CONCURRENCY", "-1")], "concurrency"),
    (&[("WORKER_CONCURRENCY", "")], "concurrency"),
    (&[("WORKER_QUEUES", "a b")], "queues"),
    (&[("WORKER_QUEUES", "")], "queues"),
    (&[("WORKER_QUEUES", "a,,b")], "queues"),
    (&[("WORKER_LEASE_TTL", "10s"), ("WORKER_HEARTBEAT_INTERVAL", "4s")], "WORKER_LEASE_TTL"),
    (&[("WORKER_LEASE_TTL", "25h")], "WORKER_LEASE_TTL"),
    (&[("WORKER_LEASE_TTL", "ten")], "lease-ttl"),
    (&[("WORKER_HEARTBEAT_INTERVAL", "0s")], "WORKER_HEARTBEAT_INTERVAL"),
    (&[("WORKER_HEARTBEAT_INTERVAL", "500000000000y")], ""),
    (&[("WORKER_HEARTBEAT_INTERVAL", "17000000000000000000s")], "WORKER_LEASE_TTL"),
    (&[("WORKER_POLL_INTERVAL", "0s")], "WORKER_POLL_INTERVAL"),
    (&[("WORKER_POLL_INTERVAL", "18000000000000000000s")], "WORKER_POLL_INTERVAL"),
    (&[("WORKER_DRAIN_BUDGET", "18000000000000000000s")], "WORKER_DRAIN_BUDGET"),
    (&[("WORKER_CANCEL_GRACE", "18000000000000000000s")], "WORKER_CANCEL_GRACE"),
    (&[("WORKER_PREFETCH", "4000000000")], "WORKER_PREFETCH"),
    (&[("WORKER_WAKEUPS", "perhaps")], "wakeups"),
    (&[("WORKER_RETRY_BASE", "2h")], "WORKER_RETRY_BASE"),
    (&[("WORKER_RESULT_LIMIT", "0")], "WORKER_RESULT_LIMIT"),
    (&[("WORKER_RESULT_LIMIT", "99999999999")], "WORKER_RESULT_LIMIT"),
    (&[("WORKER_BIND", "8081")], "bind"),
    (&[("LOG_FORMAT", "xml")], "log-format"),
    (&[("RUST_LOG", "worker=loud=very")], "RUST_LOG"),
    (&[("DATABASE_URL", "mysql://app:s3cret@db/app")], "DATABASE_URL"),
    (&[("DATABASE_URL", "")], "DATABASE_URL"),
    (&[("DATABASE_URL", "postgresql://app:s3cret@db:port/app")], "DATABASE_URL"),
    (&[("DATABASE_URL", "postgresql://app:s3cret@db/app?sslmode=maybe")], "DATABASE_URL"),
    (&[("DATABASE_URL", "postgresql://app:s3cret@db/app?nonsense=1")], "DATABASE_URL"),
    (&[("DATABASE_DIRECT_URL", "s3cret")], "DATABASE_DIRECT_URL"),
    (&[("DATABASE_PORT", "99999")], "database-port"),
    (&[("DATABASE_SSLMODE", "sometimes")], "sslmode"),
    (&[("POSTGRES_PASSWORD_FILE", "/nowhere/password")], "POSTGRES_PASSWORD_FILE"),
    (&[("DATABASE_CA_FILE", "/etc/hostname")], "DATABASE_CA_FILE"),
    (&[("DATABASE_CA_FILE", "/etc/hostname"), ("DATABASE_SSLMODE", "require")], "DATABASE_CA_FILE"),
    (&[("DATABASE_CA_FILE", "/nowhere/ca.pem"), ("DATABASE_SSLMODE", "verify-full")], "DATABASE_CA_FILE"),
    (&[("DATABASE_CA_FILE", "/etc/hostname"), ("DATABASE_SSLMODE", "verify-full")], "DATABASE_CA_FILE"),
];

/// The port is taken: whoever opened it before looking at the settings would fail for that, with another code.
#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_are_one_line_and_exit_64_before_a_port_opens() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (settings, blamed) in BAD {
        let mut environment = vec![("WORKER_BIND", address.as_str())];
        environment.extend(settings.iter().copied());
        let ended = run(&[], &environment).await;
        assert_eq!(ended.code, Some(64), "{settings:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{settings:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{settings:?}: {ended:?}");
        assert!(ended.stderr.contains(blamed), "{settings:?} should name {blamed}: {ended:?}");
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
        assert_eq!(ended.stdout, "", "{settings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_flags_and_commands_exit_64() {
    for arguments in [["--nonsense"].as_slice(), &["clean"], &["cleanup", "--retention", "soon"], &["--concurrency"]] {
        let ended = run(arguments, &[]).await;
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(64), 1), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_names_every_variable_and_no_secret() {
    let ended = run(&["--help"], &[("DATABASE_URL", "postgresql://app:s3cret@db/app")]).await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
    for (settings, _) in BAD {
        for (variable, _) in *settings {
            assert!(ended.stdout.contains(variable), "{variable} is not in --help");
        }
    }
    assert_eq!(run(&["--version"], &[]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_exits_69_and_names_the_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = run(&[], &[("WORKER_BIND", &address), ("DATABASE_URL", "postgresql://app@127.0.0.1:1/app")]).await;
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(69), 1), "{ended:?}");
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("WORKER_BIND"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_prints_counts_as_json() {
    let queue = Queue::new().await;
    let id = queue.submit_one(task("echo", "1")).await;
    let ended = run(&["cleanup", "--days-ahead", "3"], &[("DATABASE_URL", &queue.worker_url)]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let counts: serde_json::Value = serde_json::from_str(ended.stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!(counts["partitions_made"], 6, "two more days of three tables: {counts}");
    assert_eq!(counts["days_dropped"], serde_json::json!([]));
    assert!(counts["default_deleted"].is_u64() && counts["progress_deleted"].is_u64(), "{counts}");
    assert!(counts["idempotency_keys_deleted"].is_u64() && counts["unique_keys_deleted"].is_u64(), "{counts}");
    assert_eq!(queue.get(id).await.id, id);

    let away = run(&["cleanup"], &[("DATABASE_URL", "postgresql://app@127.0.0.1:1/app")]).await;
    assert_eq!((away.code, away.stderr.lines().count()), (Some(69), 1), "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_json_log_is_an_object() {
    let queue = Queue::new().await;
    let worker = Process::start(&queue, &[("RUST_LOG", "trace")]);
    worker.registered(1).await;
    let id = queue.submit_one(task("echo", "1")).await;
    queue.ended(&[id]).await;
    for line in worker.lines() {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}
