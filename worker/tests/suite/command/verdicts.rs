//! What becomes of a task by what its program writes and how it ends.

use queue::Status;

use super::Runner;

#[tokio::test(flavor = "multi_thread")]
async fn the_payload_goes_in_and_the_result_comes_out() {
    let runner = Runner::of("cat", "").await;
    for payload in [r#"{"input":"hello"}"#, "null", r#""ü ☃""#] {
        assert_eq!(runner.result(payload).await, payload);
    }
    // More than a pipe holds, both ways.
    let long = format!("\"{}\"", "x".repeat(500_000));
    assert_eq!(runner.result(&long).await, long);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_need_not_read_and_need_not_answer() {
    let runner = Runner::of("exec <&-; sleep 0.1", "").await;
    assert_eq!(runner.result(&format!("\"{}\"", "x".repeat(500_000))).await, "null");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_a_result_where_that_is_said() {
    let runner = Runner::of("echo 'hello \"you\"'", "output = \"text\"").await;
    assert_eq!(runner.result("1").await, r#""hello \"you\"""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_fails_for_good_and_says_why() {
    for script in ["echo hello", "echo 1 2", "printf '\"a\\\\u0000b\"'", "echo '{\"a\":'"] {
        let runner = Runner::of(script, "").await;
        let (error, attempt) = runner.error("1").await;
        assert!(error.starts_with("the output is no result: ") && attempt == 1, "{script}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_and_its_complaint_kept() {
    let script = "[ $TASKROW_ATTEMPT = 3 ] && echo 3 || { echo \"no. $TASKROW_ATTEMPT\" >&2; exit 7; }";
    let runner = Runner::of(script, "").await;
    let task = runner.run("1").await;
    assert_eq!((task.status, task.attempt), (Status::Done, 3));
    let failures = "SELECT string_agg(attempt || ': ' || error, ', ' ORDER BY attempt) FROM taskrow.failures";
    assert_eq!(runner.queue.execute(failures).await, "1: exit status: 7: no. 1, 2: exit status: 7: no. 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_whether_to_try_again() {
    for (code, more, attempts) in [
        (1, "", 3),
        (64, "", 1),
        (65, "", 1),
        (75, "", 3),
        (65, "fatal_codes = [3]", 3),
        (3, "fatal_codes = [3]", 1),
        (75, "retry_codes = [75]", 3),
        (1, "retry_codes = [75]", 1),
    ] {
        let runner = Runner::of(&format!("echo why >&2; exit {code}"), more).await;
        assert_eq!(runner.error("1").await, (format!("exit status: {code}: why"), attempts), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_is_tried_again() {
    let runner = Runner::of("kill -SEGV $$", "").await;
    let (error, attempt) = runner.error("1").await;
    assert!(error.starts_with("signal: 11 (SIGSEGV)") && !error.contains("core dumped") && attempt == 3, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_complaint_is_cut_to_its_end() {
    let script = "yes complaint | head -c 1000000 >&2; echo the end >&2; exit 65";
    let runner = Runner::of(script, "stderr_limit = 100").await;
    let (error, _) = runner.error("1").await;
    assert!(error.starts_with("exit status: 65: [999908 bytes cut] ") && error.ends_with("the end"), "{error}");
    assert!(error.len() < 200, "{error}");
    let secret = Runner::of("echo s3cret >&2; exit 65", "stderr_limit = 0").await;
    assert_eq!(secret.error("1").await.0, "exit status: 65: [7 bytes cut]");
    assert!(!runner.worker.output().contains("complaint") && !secret.worker.output().contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_without_end_is_stopped() {
    let runner = Runner::of("echo $$ >$DIR/pid; exec yes", "output_limit = 10000").await;
    assert_eq!(runner.error("1").await, ("the output is larger than 10000 bytes".to_owned(), 1));
    super::gone(runner.process("pid").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_without_end_takes_no_memory() {
    let runner = Runner::of("exec yes >&2", "timeout = \"1s\"\nstderr_limit = 10").await;
    let (error, attempt) = runner.error("1").await;
    assert!(error.starts_with("timed out after 1s: [") && error.ends_with('y') && attempt == 3, "{error}");
}
