//! Evidence in files.

use std::{fs, path::Path};

use chaos::checker::{Error, Evidence, Rule, check, check_directory};
use serde::Serialize;
use tempfile::TempDir;

use crate::forged::story::Story;

fn jsonl<T: Serialize>(items: &[T]) -> String {
    items.iter().map(|item| serde_json::to_string(item).unwrap() + "\n").collect()
}

/// Histories of three processes, and what the database says.
fn written(evidence: &Evidence) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for process in 0..3 {
        let lines: Vec<_> = evidence.lines.iter().skip(process).step_by(3).collect();
        write(directory.path(), &format!("p{process}.history.jsonl"), &jsonl(&lines));
    }
    write(directory.path(), "audit.jsonl", &jsonl(&evidence.audit));
    write(directory.path(), "tasks.jsonl", &jsonl(&evidence.tasks));
    write(directory.path(), "keys.jsonl", &jsonl(&evidence.keys));
    write(directory.path(), "worker-1.log", "not evidence");
    directory
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

fn append(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, fs::read_to_string(&path).unwrap() + text).unwrap();
}

#[test]
fn files_are_read_as_memory_is() {
    let evidence = Story::new().evidence;
    let directory = written(&evidence);
    assert_eq!(check_directory(directory.path()).unwrap(), check(evidence));
    // And what is wrong in them is found.
    write(directory.path(), "keys.jsonl", "");
    assert!(check_directory(directory.path()).unwrap().totals.contains_key(&Rule::Keys));
}

#[test]
fn a_crash_is_a_line_as_others_are() {
    let line = chaos::history::Line { at: 7, event: chaos::history::Event::Crash };
    let text = serde_json::to_string(&line).unwrap();
    assert_eq!((text.as_str(), serde_json::from_str(&text).ok()), (r#"{"at":7,"event":"crash"}"#, Some(line)));
}

#[test]
fn a_line_cut_short_by_a_kill_is_counted_and_left_out() {
    let directory = written(&Story::new().evidence);
    append(directory.path(), "p0.history.jsonl", r#"{"at":17,"event":"ref"#);
    append(directory.path(), "p2.history.jsonl", "{");
    let verdict = check_directory(directory.path()).unwrap();
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.counts.torn, 2);
    assert!(verdict.to_string().contains("2 torn lines"));
    // One that lacks its newline only is whole.
    write(directory.path(), "p3.history.jsonl", r#"{"at":18,"event":"crash"}"#);
    let verdict = check_directory(directory.path()).unwrap();
    assert_eq!((verdict.counts.torn, verdict.counts.crashes), (2, 1));
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let spoilt = |name: &str, text: &str| {
        let directory = written(&Story::new().evidence);
        append(directory.path(), name, text);
        match check_directory(directory.path()).unwrap_err() {
            Error::Line { path, .. } => path.file_name().unwrap().to_string_lossy().into_owned(),
            error => panic!("{error}"),
        }
    };
    // In the middle of a file, or with its newline, it is no kill that cut it.
    assert_eq!(spoilt("p1.history.jsonl", "{\"at\":17,\"event\":\"ref\n"), "p1.history.jsonl");
    assert_eq!(spoilt("p1.history.jsonl", "\0\0\0\0\n{\"at\":18,\"event\":\"crash\"}\n"), "p1.history.jsonl");
    assert_eq!(spoilt("p1.history.jsonl", "{\"at\":17,\"event\":\"unheard of\"}\n"), "p1.history.jsonl");
    // Nobody kills who writes these.
    assert_eq!(spoilt("audit.jsonl", "{\"seq\":1"), "audit.jsonl");
    assert_eq!(spoilt("tasks.jsonl", "{"), "tasks.jsonl");
    assert_eq!(spoilt("keys.jsonl", "[]\n"), "keys.jsonl");
}

#[test]
fn what_is_missing_is_no_verdict() {
    for name in ["audit.jsonl", "tasks.jsonl", "keys.jsonl"] {
        let directory = written(&Story::new().evidence);
        fs::remove_file(directory.path().join(name)).unwrap();
        let error = check_directory(directory.path()).unwrap_err();
        assert!(matches!(&error, Error::File { path, .. } if path.ends_with(name)), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(check_directory(empty.path()).unwrap_err(), Error::Nothing { .. }));
}
