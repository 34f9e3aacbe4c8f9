//! What is wrong with the file is said when the worker starts.

use crate::support::process::run;

/// Each with what its message must name.
const BAD: &[(&str, &str)] = &[
    ("", "program"),
    ("program = \"/nowhere/program\"", "kinds.run.program: /nowhere/program"),
    ("program = \"/etc/passwd\"", "kinds.run.program: /etc/passwd"),
    ("program = \"/usr\"", "kinds.run.program: /usr"),
    ("program = \"bin/cat\"", "kinds.run.program: bin/cat"),
    ("program = \"no-such-program\"", "kinds.run.program: no-such-program is not in the PATH"),
    ("program = \"cat\"\narguments = \"-n\"", "arguments"),
    ("program = \"cat\"\nlimits = { cpu_seconds = -1 }", "cpu_seconds"),
    ("program = \"cat\"\ndirectory = \"/nowhere\"", "kinds.run.directory"),
    ("program = \"cat\"\ndirectory = \"usr\"", "kinds.run.directory"),
    ("program = \"cat\"\nenvironment = { \"A=B\" = \"1\" }", "kinds.run.environment"),
    ("program = \"cat\"\nenvironment = { TASKROW_TASK_ID = \"1\" }", "kinds.run.environment: TASKROW_TASK_ID"),
    ("program = \"cat\"\ninherit = [\"\"]", "kinds.run.inherit"),
    ("program = \"cat\"\noutput = \"xml\"", "xml"),
    ("program = \"cat\"\noutput_limit = 0", "kinds.run.output_limit"),
    ("program = \"cat\"\nstderr_limit = 8192", "kinds.run.stderr_limit"),
    ("program = \"cat\"\ntimeout = \"0s\"", "kinds.run.timeout"),
    ("program = \"cat\"\ngrace = \"2m\"", "kinds.run.grace"),
    ("program = \"cat\"\nfatal_codes = [0]", "kinds.run.fatal_codes"),
    ("program = \"cat\"\nfatal_codes = [1]\nretry_codes = [2]", "kinds.run.retry_codes"),
    ("program = \"cat\"\nlimits = { cpu_seconds = 0 }", "kinds.run.limits.cpu_seconds"),
    ("program = \"cat\"\nlimits = { open_files = 1000000000000 }", "kinds.run.limits.open_files"),
    ("program = \"cat\"\nlimits = { processes = 1 }", "processes"),
    ("program = \"cat\"\nshell = true", "shell"),
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_one_line_and_exit_64() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("kinds.toml");
    for (lines, blamed) in BAD {
        std::fs::write(&file, format!("[kinds.run]\ntype = \"command\"\n{lines}\n")).expect("written");
        let settings = [
            ("WORKER_HANDLERS", file.to_str().expect("text")),
            ("PATH", "/usr/bin:/bin"),
            ("WORKER_BIND", "127.0.0.1:0"),
        ];
        let ended = run(&[], &settings).await;
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(64), 1), "{lines}: {ended:?}");
        assert!(ended.stderr.contains(blamed), "{lines} should name {blamed}: {ended:?}");
    }
}

/// Whoever starts it by hand learns that, and nothing runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_is_for_the_worker_alone() {
    for arguments in
        [["taskrow-launch"].as_slice(), &["taskrow-launch", "1", "{}", "/bin/echo"], &["taskrow-launch", "x", "y", "z"]]
    {
        let ended = run(arguments, &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(126), ""), "{arguments:?}: {ended:?}");
    }
}
