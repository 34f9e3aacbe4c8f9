//! Kinds of type `http` and callbacks: real workers, real receivers on this machine's loopback.

mod callbacks;
mod configuration;
mod delivery;
mod guard;
mod idempotency;
mod receiver;
mod redirects;
mod secrets;
mod signatures;
mod statuses;
mod tls;
mod trouble;

use std::path::PathBuf;

use queue::{Status, TaskId, inspect};
use serde_json::Value;
use tempfile::TempDir;
use worker::{HandlersFile, Worker};

use crate::support::{
    queue::{Queue, task},
    worker::{Running, config, start},
};

/// The kind that the tests configure.
const KIND: &str = "deliver";

/// A file of kinds and what it names. `DIR` in a text stands for where they are.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files_ = Self(tempfile::tempdir().expect("a directory"));
        for (name, text) in files {
            std::fs::write(files_.0.path().join(name), files_.fill(text)).expect("written");
        }
        files_
    }

    fn fill(&self, text: &str) -> String {
        text.replace("DIR", self.0.path().to_str().expect("text"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A worker with the kinds of a file.
struct Setup {
    queue: Queue,
    worker: Running,
    _files: Files,
}

impl Setup {
    /// A worker with one kind, [`KIND`], of type `http`, that says this.
    async fn kind(lines: &str) -> Self {
        Self::kind_and(lines, &[]).await
    }

    /// The same, and files that the lines name as `DIR/<name>`.
    async fn kind_and(lines: &str, files: &[(&str, &str)]) -> Self {
        Self::file(&format!("[kinds.{KIND}]\ntype = \"http\"\n{lines}"), files).await
    }

    /// A worker with this file.
    async fn file(text: &str, files: &[(&str, &str)]) -> Self {
        let files = Files::new(&[&[("kinds.toml", text)], files].concat());
        let file = HandlersFile::read(&files.path("kinds.toml")).expect("a good file");
        let queue = Queue::new().await;
        let builder = file.register(Worker::builder()).expect("good kinds");
        let worker = start(builder, config(), queue.servers());
        Self { queue, worker, _files: files }
    }

    async fn submit(&self, payload: &str) -> TaskId {
        self.queue.submit_one(task(KIND, payload)).await
    }

    /// Runs a task to its end, which must be this.
    async fn run(&self, payload: &str, end: Status) -> inspect::Task {
        self.queue.reaches(self.submit(payload).await, end).await
    }

    /// The result of a task that gets done.
    async fn result(&self, payload: &str) -> Value {
        let task = self.run(payload, Status::Done).await;
        serde_json::from_str(task.result.expect("a result").get()).expect("JSON")
    }

    /// Why a task failed at its first attempt, although it had more.
    async fn fails_at_once(&self, payload: &str) -> String {
        let task = self.run(payload, Status::Failed).await;
        assert_eq!(task.attempt, 1, "{task:?}");
        task.error.expect("a reason")
    }

    /// Why the first attempt of a task failed that is tried again and gets done.
    async fn retries(&self, payload: &str) -> String {
        let id = self.submit(payload).await;
        let task = self.queue.reaches(id, Status::Done).await;
        assert_eq!(task.attempt, 2, "{task:?}");
        self.queue.execute(&format!("SELECT error FROM taskrow.failures WHERE task_id = '{id}'")).await
    }
}
