//! What a program is given besides its payload, and what it is denied.

use super::Runner;

/// `NAME=value` of everything that is exported.
const SHOW: &str = "env | grep -v ^_= | sort";

async fn environment(runner: &Runner) -> Vec<String> {
    let text = runner.result("1").await;
    let text: String = serde_json::from_str(&text).expect("a string");
    text.lines().map(str::to_owned).collect()
}

fn names(environment: &[String]) -> Vec<&str> {
    environment.iter().map(|line| line.split('=').next().expect("a name")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_small_and_has_no_secret() {
    let settings = [("REDIS_PASSWORD", "s3cret"), ("HOME", "/home/somebody"), ("OTHER", "x")];
    let runner = Runner::with(SHOW, "output = \"text\"", &settings).await;
    let seen = environment(&runner).await;
    let ours = ["TASKROW_ATTEMPT", "TASKROW_KIND", "TASKROW_MAX_ATTEMPTS", "TASKROW_QUEUE", "TASKROW_TASK_ID"];
    let expected = [["DIR", "HOME", "PATH", "PWD"].as_slice(), &ours].concat();
    assert_eq!(names(&seen), expected, "PWD is the shell's own");
    assert!(!seen.join("\n").contains("s3cret"));
    for line in [
        "HOME=/home/somebody",
        "PATH=/usr/bin:/bin",
        "TASKROW_ATTEMPT=1",
        "TASKROW_MAX_ATTEMPTS=3",
        "TASKROW_QUEUE=default",
        "TASKROW_KIND=run",
    ] {
        assert!(seen.iter().any(|seen| seen == line), "{line}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_chooses_what_is_passed_on() {
    let runner = Runner::with(
        SHOW,
        "output = \"text\"\ninherit = [\"OTHER\", \"ABSENT\", \"PATH\", \"DIR\"]",
        &[("OTHER", "a=b c"), ("DIR", "hidden")],
    )
    .await;
    let seen = environment(&runner).await;
    assert!(seen.contains(&"OTHER=a=b c".to_owned()) && !names(&seen).contains(&"HOME"), "{seen:?}");
    assert!(seen.contains(&format!("DIR={}", runner.dir.path().display())), "its own value wins: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_starts_in_its_directory() {
    let runner = Runner::of("pwd -P", "directory = \"/usr\"\noutput = \"text\"").await;
    assert_eq!(runner.result("1").await, r#""/usr""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_knows_its_limits() {
    let limits = "limits = { memory_bytes = 1073741824, cpu_seconds = 60, open_files = 77, file_bytes = 1048576 }";
    let runner =
        Runner::of("ulimit -v; ulimit -t; ulimit -n; ulimit -f; ulimit -c", &format!("output = \"text\"\n{limits}"))
            .await;
    // In KiB, seconds, files, blocks of 512 bytes, blocks.
    assert_eq!(runner.result("1").await, r#""1048576\n60\n77\n2048\n0""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_computes_for_ever_is_stopped() {
    let runner = Runner::of("while :; do :; done", "limits = { cpu_seconds = 1 }").await;
    let (error, attempt) = runner.error("1").await;
    assert!(error.starts_with("signal: 24 (SIGXCPU)") && attempt == 3, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_gone_is_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("program");
    std::fs::copy("/bin/cat", &program).expect("copied");
    let more = format!("[kinds.gone]\ntype = \"command\"\nprogram = \"{}\"", program.display());
    let runner = Runner::of("cat", &more).await;
    runner.result("1").await;
    std::fs::remove_file(&program).expect("removed");
    let mut gone = super::run("1");
    gone.options.lane.kind = crate::support::queue::name("gone");
    let id = runner.queue.submit_one(gone).await;
    let task = runner.queue.reaches(id, queue::Status::Failed).await;
    let error = task.error.expect("a reason");
    assert!(error.contains("127") && error.contains("No such file") && task.attempt == 3, "{error}");
}
