//! The `dev` process under test.

#![allow(dead_code, reason = "each test program uses a part")]

mod eventually;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::task;

pub(crate) use eventually::eventually;

/// A running system.
pub(crate) struct Local {
    process: Child,
    pub(crate) api: String,
    pub(crate) worker: String,
    client: reqwest::Client,
}

fn command(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
    for variable in ["DATABASE_URL", "POSTGRES_PASSWORD", "QUEUE_BACKEND", "REDIS_ADDR", "REDIS_PASSWORD"] {
        command.env_remove(variable);
    }
    command.env("RUST_LOG", "info");
    command.env("API_BIND", "127.0.0.1:0").env("WORKER_BIND", "127.0.0.1:0");
    command.envs(environment.iter().copied());
    command
}

/// Runs the process to its end; its exit code and what it wrote to standard error.
pub(crate) async fn exited(environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = command(environment);
    let output = task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

impl Local {
    /// Starts the process and waits until API and worker are ready.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        let mut process = command(environment).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = process.stdout.take().unwrap();
        let (api, worker) = task::spawn_blocking(move || addresses(stdout)).await.unwrap();
        let local = Self { process, api, worker, client: reqwest::Client::new() };
        for url in [format!("{}/ready", local.api), format!("{}/ready", local.worker)] {
            eventually(async || {
                let answer = local.client.get(&url).send().await.map_err(|error| error.to_string())?;
                answer.error_for_status().map(drop).map_err(|error| error.to_string())
            })
            .await;
        }
        local
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.client.post(format!("{}{path}", self.api)).json(body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.api)).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.api)).send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn worker_text(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.worker)).send().await.unwrap().text().await.unwrap()
    }

    /// Sends a signal and waits for the end; the exit code.
    pub(crate) async fn stop(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        eventually(async || self.process.try_wait().unwrap()).await.code()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the URLs that are told to the person at the terminal, and the rest of the output, so that the pipe never fills.
fn addresses(stdout: impl Read + Send + 'static) -> (String, String) {
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let mut url_of = |what: &str| {
        let line = lines.by_ref().find(|line| line.trim_start().starts_with(what));
        line.and_then(|line| line.split_whitespace().nth(1).map(str::to_owned)).expect("the output tells the URLs")
    };
    let found = (url_of("API "), url_of("Worker "));
    std::thread::spawn(move || lines.for_each(drop));
    found
}
