//! A short run of the whole thing, over each backend: real processes, real faults, a verdict.

use std::{
    path::Path,
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

/// Two runs at once would only be slower, and each would blame the other.
static ALONE: Mutex<()> = Mutex::new(());

fn run(name: &str, more: &[&str]) -> Output {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.arg("run").arg("--dir").arg(dir).args(more);
    command.output().expect("it runs")
}

/// The last line says PASS, faults happened, and tasks were done.
fn passes(output: &Output) {
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
    assert!(number("faults") >= 8, "{last}");
    assert!(number("done") >= 5000, "{last}");
    assert_eq!((number("violations"), number("complaints")), (0, 0));
}

#[test]
fn nothing_is_lost_or_recorded_twice_under_faults() {
    passes(&run("postgres", &["--seed", "20261130", "--minutes", "0.8", "--tasks", "12000"]));
}

#[test]
fn nothing_is_lost_or_recorded_twice_under_faults_in_redis_mode() {
    passes(&run("redis", &["--redis", "--seed", "20261201", "--minutes", "0.6", "--tasks", "9000"]));
}
