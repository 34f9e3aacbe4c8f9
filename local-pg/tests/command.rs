//! The `local-pg` binary.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::{ask, eventually, listens};

fn local_pg() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-pg"));
    command.stdin(Stdio::null());
    command
}

/// A running `local-pg exec` whose command waits for a signal or the end of its input.
struct Exec {
    child: Child,
    port: u16,
    home: PathBuf,
}

impl Exec {
    /// The command says where its server is, then runs `then`.
    async fn start(then: &str) -> Self {
        let script = format!("echo $TASKROW_TEST_SERVER; {then}");
        let mut child = local_pg()
            .args(["exec", "--", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        let url = url.trim_end();
        let data = ask(&format!("{url}/postgres"), "SHOW data_directory").await;
        let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
        Self { child, port, home: Path::new(&data).parent().unwrap().to_owned() }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn leaves_nothing(&self) -> bool {
        !self.home.exists() && !listens(self.port)
    }
}

#[tokio::test]
async fn exec_ends_with_the_commands_code() {
    // Waiting closes the input.
    let mut exec = Exec::start("read -r _; exit 7").await;
    assert_eq!(exec.child.wait().unwrap().code(), Some(7));
    assert!(exec.leaves_nothing());
}

#[tokio::test]
async fn exec_passes_signals_on_and_cleans_up() {
    for (signal, trap, code) in [(Signal::TERM, "TERM", 9), (Signal::INT, "INT", 9)] {
        let mut exec = Exec::start(&format!("trap 'exit 9' {trap}; while :; do sleep 0.05; done")).await;
        exec.signal(signal);
        assert_eq!(exec.child.wait().unwrap().code(), Some(code), "{trap}");
        assert!(exec.leaves_nothing());
    }
    let mut exec = Exec::start("exec sleep 600").await;
    exec.signal(Signal::TERM);
    assert_eq!(exec.child.wait().unwrap().code(), Some(128 + 15), "as a shell would say");
    assert!(exec.leaves_nothing());
}

#[tokio::test]
async fn a_killed_exec_leaves_no_server_and_no_directory() {
    // `cat` ends with its input, which this test holds open.
    let mut exec = Exec::start("exec cat").await;
    exec.signal(Signal::KILL);
    let input = exec.child.stdin.take();
    assert_eq!(exec.child.wait().unwrap().code(), None);
    eventually("server and directory are gone", || exec.leaves_nothing());
    drop(input);
}

#[test]
fn a_command_that_cannot_run_is_one_clear_line() {
    let output = local_pg().args(["exec", "--", "no-such-command"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("local-pg: cannot run no-such-command: "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn find_prints_directory_and_version_or_what_to_do() {
    let output = local_pg().arg("find").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let (dir, version) = text.lines().next().unwrap().rsplit_once(' ').unwrap();
    assert!(Path::new(dir).join("initdb").exists(), "{text}");
    assert!(version.starts_with(char::is_numeric), "{text}");

    let output = local_pg().arg("find").env("TASKROW_PG_BIN", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "local-pg: TASKROW_PG_BIN=/nowhere does not hold a Postgres server of version 14 to 18\n"
    );
}
