//! The kind type `email`, against a real mail server.

mod configuration;
mod delivery;
mod login;
mod server;

use std::time::Duration;

use queue::{NewTask, Status, inspect};
use serde_json::{Value, json};
use tempfile::TempDir;
use worker::{HandlersFile, Worker};

use self::server::MailServer;
use crate::support::{
    queue::{Queue, task},
    worker::{Running, config, start},
};

/// A queue with a worker of the kind `email`.
struct Post {
    queue: Queue,
    _worker: Running,
    _file: TempDir,
}

/// The kind's part of the file, with more lines; the server's encryption is none.
fn kind(port: u16, more: &str) -> String {
    format!(
        "[kinds.email]\ntype = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"Shop <shop@example.com>\"\n\
         allowed_recipients = [\"*@example.com\"]\n{more}\n"
    )
}

fn file(text: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("kinds.toml"), text).expect("written");
    dir
}

impl Post {
    /// By this server, without encryption.
    async fn by(server: &MailServer, more: &str) -> Self {
        Self::with(&kind(server.port, &format!("tls = \"none\"\n{more}"))).await
    }

    async fn with(text: &str) -> Self {
        Self::patient(text, config().cancel_grace).await
    }

    /// Whose worker lets cancelled tasks go on for so long.
    async fn patient(text: &str, cancel_grace: Duration) -> Self {
        let (queue, file) = (Queue::new().await, file(text));
        let kinds = HandlersFile::read(&file.path().join("kinds.toml")).expect("a good file");
        let builder = kinds.register(Worker::builder()).expect("good kinds");
        let one_by_one = worker::WorkerConfig { concurrency: 1, cancel_grace, ..config() };
        let worker = start(builder, one_by_one, queue.servers());
        Self { queue, _worker: worker, _file: file }
    }

    async fn submit(&self, payload: &Value) -> ::queue::TaskId {
        self.queue.submit_one(mail(payload)).await
    }

    /// Sends one to its end.
    async fn send(&self, payload: &Value) -> inspect::Task {
        let id = self.submit(payload).await;
        self.queue.ended(&[id]).await.remove(0)
    }

    /// The result of one that is accepted, and its attempt.
    async fn sent(&self, payload: &Value) -> (Value, i16) {
        let task = self.send(payload).await;
        assert_eq!(task.status, Status::Done, "{task:?}");
        (serde_json::from_str(task.result.expect("a result").get()).expect("JSON"), task.attempt)
    }

    /// The error of one that is not, and its attempt.
    async fn failed(&self, payload: &Value) -> (String, i16) {
        let task = self.send(payload).await;
        assert_eq!(task.status, Status::Failed, "{task:?}");
        (task.error.expect("a reason"), task.attempt)
    }
}

fn mail(payload: &Value) -> NewTask {
    let mut task = task("email", &payload.to_string());
    task.options.max_attempts = 3;
    task.options.timeout = Duration::from_secs(60);
    task
}

/// The least that is a message.
fn to(address: &str) -> Value {
    json!({"to": address, "subject": "hello", "text": "hello"})
}
