//! Short runs of the whole thing, over each backend and through an upgrade: real processes, real faults, a verdict.

use std::{
    path::Path,
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

/// Two runs at once would only be slower, and each would blame the other.
static ALONE: Mutex<()> = Mutex::new(());

/// The previous release, by version and commit.
const PREVIOUS: &str = include_str!("../../../migrations/previous-release");

fn run(name: &str, what: &str, more: &[&str]) -> Output {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.arg(what).arg("--dir").arg(dir).args(more);
    command.output().expect("it runs")
}

/// The last line says PASS, at least so many faults happened, and so many tasks were done.
fn passes(output: &Output, faults: u64, done: u64) {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    assert!(
        output.status.success() && last.starts_with("PASS "),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let number = |name: &str| -> u64 {
        let word = last.split(' ').find_map(|word| word.strip_prefix(&format!("{name}=")));
        word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {name} in {last}"))
    };
    assert!(number("faults") >= faults, "{last}");
    assert!(number("done") >= done, "{last}");
    assert_eq!((number("violations"), number("complaints")), (0, 0));
}

#[test]
fn nothing_is_lost_or_recorded_twice_under_faults() {
    passes(&run("postgres", "run", &["--seed", "20261130", "--minutes", "0.8", "--tasks", "12000"]), 8, 8000);
}

#[test]
fn nothing_is_lost_or_recorded_twice_under_faults_in_redis_mode() {
    passes(&run("redis", "run", &["--redis", "--seed", "20261201", "--minutes", "0.6", "--tasks", "9000"]), 6, 6000);
}

#[test]
fn nothing_is_lost_or_recorded_twice_through_an_upgrade_and_back() {
    let version = PREVIOUS.split_once(' ').expect("a version and a commit").0;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
    let previous = target.join("previous").join(version).display().to_string();
    let amount = ["--previous", &previous, "--minutes", "0.5", "--tasks", "5000"];
    passes(&run("upgrade", "upgrade", &amount), 0, 3000);
}
