//! The kind type `command`, with real programs and the real binary.

mod configuration;
mod ends;
mod surroundings;
mod verdicts;

use std::{path::PathBuf, time::Duration};

use queue::{NewTask, Status, inspect};
use tempfile::TempDir;

use crate::support::{
    eventually,
    process::Process,
    queue::{Queue, task},
};

/// A queue with a worker whose kind `run` is a shell script.
struct Runner {
    queue: Queue,
    worker: Process,
    /// The script finds it as `$DIR`.
    dir: TempDir,
}

impl Runner {
    /// With more lines for the kind.
    async fn of(script: &str, more: &str) -> Self {
        Self::with(script, more, &[]).await
    }

    /// With settings of the worker, too.
    async fn with(script: &str, more: &str, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let here = dir.path().display();
        let file = dir.path().join("kinds.toml");
        let text = format!(
            "[kinds.run]\ntype = \"command\"\nprogram = \"/bin/sh\"\narguments = [\"-c\", '''{script}''']\n\
             environment = {{ DIR = \"{here}\" }}\n{more}\n"
        );
        std::fs::write(&file, text).expect("written");
        let queue = Queue::new().await;
        let short = [("WORKER_RETRY_BASE", "10ms"), ("WORKER_RETRY_CAP", "50ms"), ("PATH", "/usr/bin:/bin")];
        let of_file = [("WORKER_HANDLERS", file.to_str().expect("text"))];
        let worker = Process::start(&queue, &[&short[..], &of_file, settings].concat());
        Self { queue, worker, dir }
    }

    async fn submit(&self, payload: &str) -> ::queue::TaskId {
        self.queue.submit_one(run(payload)).await
    }

    /// Runs one to its end.
    async fn run(&self, payload: &str) -> inspect::Task {
        let id = self.submit(payload).await;
        self.queue.ended(&[id]).await.remove(0)
    }

    async fn result(&self, payload: &str) -> String {
        let task = self.run(payload).await;
        assert_eq!(task.status, Status::Done, "{task:?}");
        task.result.expect("a result").get().to_owned()
    }

    /// The error of one that fails, and its attempt.
    async fn error(&self, payload: &str) -> (String, i16) {
        let task = self.run(payload).await;
        assert_eq!(task.status, Status::Failed, "{task:?}");
        (task.error.expect("a reason"), task.attempt)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a script has written to a file of its directory: whole lines.
    async fn written(&self, name: &str) -> String {
        eventually(&format!("{name} is written"), async || {
            std::fs::read_to_string(self.path(name)).ok().filter(|text| text.ends_with('\n'))
        })
        .await
        .trim()
        .to_owned()
    }

    /// The process whose id a script has written there.
    async fn process(&self, name: &str) -> u32 {
        self.written(name).await.parse().expect("a number")
    }
}

fn run(payload: &str) -> NewTask {
    let mut task = task("run", payload);
    task.options.max_attempts = 3;
    task.options.timeout = Duration::from_secs(60);
    task
}

/// What the kernel says of a process: its state, its parent, its process group. None: there is no such process.
fn status(process: u32) -> Option<(char, u32, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Waits until a process runs no more. (Whose child an orphan is, and whether that awaits it, is the system's affair.)
async fn gone(process: u32) {
    eventually(&format!("process {process} is gone"), async || {
        status(process).is_none_or(|(state, ..)| state == 'Z' || state == 'X').then_some(())
    })
    .await;
}
