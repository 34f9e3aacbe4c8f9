//! Where the binaries of a release are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tokio::task;

/// The version and the commit of the previous release.
const PREVIOUS: &str = include_str!("../../../../migrations/previous-release");
const BINARIES: [&str; 3] = ["api", "worker", "migrate"];

/// A release that is built.
#[derive(Clone)]
pub(crate) struct Release {
    pub(crate) version: String,
    directory: PathBuf,
}

/// What a process that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Version and commit of the previous release.
pub(crate) fn named() -> (&'static str, &'static str) {
    PREVIOUS.trim_end().split_once(' ').expect("migrations/previous-release is a version and a commit")
}

impl Release {
    /// This tree's.
    pub(crate) fn current() -> Self {
        let test = env::current_exe().expect("a test is a file");
        let directory = test.ancestors().nth(2).expect("tests are in target/debug/deps").to_owned();
        Self::built(env!("CARGO_PKG_VERSION"), directory, "cargo build --workspace")
    }

    /// The one before.
    pub(crate) fn previous() -> Self {
        let (version, commit) = named();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let directory = target.join("previous").join(version);
        let built = fs::read_to_string(directory.join("commit")).unwrap_or_default();
        assert_eq!(built.trim_end(), commit, "release {version} is not built: make previous");
        Self::built(version, directory, "make previous")
    }

    fn built(version: &str, directory: PathBuf, remedy: &str) -> Self {
        for name in BINARIES {
            let binary = directory.join(name);
            let answer = Command::new(&binary).arg("--version").output();
            let answer = answer.map(|output| String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
            let is_right = answer.as_ref().is_ok_and(|answer| *answer == format!("{name} {version}"));
            assert!(is_right, "{} is not {name} {version} but {answer:?}: {remedy}", binary.display());
        }
        Self { version: version.to_owned(), directory }
    }

    /// A binary with nothing in its environment but the database.
    pub(crate) fn command(&self, binary: &str, url: &str) -> Command {
        let mut command = Command::new(self.directory.join(binary));
        command.env_clear().env("DATABASE_URL", url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a binary to its end.
    pub(crate) async fn run(&self, binary: &str, url: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(binary, url);
        command.args(arguments);
        task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs").into()
    }

    pub(crate) async fn migrate(&self, url: &str, arguments: &[&str]) -> Ended {
        self.run("migrate", url, arguments).await
    }

    /// What the release's Job does. It has to succeed; the log is returned.
    pub(crate) async fn migrates(&self, url: &str) -> String {
        let ended = self.migrate(url, &[]).await;
        assert_eq!(ended.code, Some(0), "migrate {}: {}{}", self.version, ended.stdout, ended.stderr);
        ended.stdout
    }
}
