//! The instrument works: every scenario runs, and results have the names by which others find them.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

/// Scenarios and the figures that each has at least.
const FIGURES: &[(&str, &[&str])] = &[
    ("drain", &["tasks_per_s", "wal_bytes_per_task", "dead_rows_per_task", "limit_tasks_per_s", "share_of_limit"]),
    ("submit_http", &["requests_per_s", "p99_ms", "pgbench_inserts_per_s", "ratio"]),
    ("read_http", &["requests_per_s", "pgbench_selects_per_s", "ratio"]),
    ("submit_batch", &["tasks_per_s"]),
    ("steady", &["tasks_per_s", "p50_ms", "p99_ms"]),
    ("latency", &["start_p50_ms", "start_p99_ms", "done_p50_ms", "floor_p50_ms", "ratio"]),
    ("backlog", &["ratio_20k"]),
    ("held_snapshot", &["ratio"]),
    ("scale", &["tasks_per_s_1", "tasks_per_s_2", "tasks_per_s_4", "tasks_per_s_8"]),
    ("idle", &["queries_per_s", "cpu_percent", "rss_mb_api", "rss_mb_worker"]),
    ("connections", &["rss_mb", "db_connections"]),
    ("redis", &["drain_tasks_per_s", "latency_start_p50_ms", "drain_postgres_tasks_per_s"]),
];

fn bench(arguments: &[&str]) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_bench"));
    for name in ["api", "worker"] {
        let missing = format!("{name} is missing beside the bench: run `cargo build --workspace` first");
        assert!(program.with_file_name(name).exists(), "{missing}");
    }
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[test]
fn every_scenario_runs_and_results_can_be_plotted() {
    let results = tempfile::tempdir().unwrap();
    let (json, picture) = (results.path().join("results.json"), results.path().join("picture.svg"));

    let output = bench(&["--smoke", "--json", json.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    for name in ["date", "commit", "machine", "postgres", "scenarios"] {
        assert!(!results[name].is_null(), "{name}");
    }
    assert_eq!(results["postgres"]["fsync"], "on");
    for (scenario, figures) in FIGURES {
        assert!(text.contains(&format!("{scenario} (1 runs)")), "{scenario} is not in the table:\n{text}");
        for figure in *figures {
            let value = results["scenarios"][scenario][figure].as_f64();
            assert!(value.is_some_and(|value| value >= 0.0), "{scenario}.{figure} is {value:?}");
        }
    }

    let output = bench(&["plot", json.to_str().unwrap(), "--out", picture.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("polyline"), "{picture}");
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    for (arguments, code) in [
        (&["--database-url", "postgres://127.0.0.1:1/none", "drain"][..], 69),
        (&["plot", "no-such-file.json"], 64),
        (&["no_such_scenario"], 64),
    ] {
        let output = bench(arguments).output().unwrap();
        let reason = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {reason}");
        assert_eq!(reason.lines().count(), 1, "{arguments:?}: {reason}");
    }
}
