//! A long-running process of a release.

use std::{
    io::{BufRead, BufReader, Read},
    process::Child,
    sync::{Arc, Mutex},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::release::Release;
use crate::eventually::eventually;

/// An api or a worker; killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    address: String,
    client: reqwest::Client,
}

impl Process {
    /// Starts it with a port of its own, and waits until that is open.
    pub(crate) async fn start(release: &Release, binary: &str, url: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = release.command(binary, url);
        command.env("LOG_FORMAT", "json").env("API_BIND", "127.0.0.1:0").env("WORKER_BIND", "127.0.0.1:0");
        let mut child = command.envs(settings.iter().copied()).spawn().expect("it runs");
        let log = Arc::default();
        collect(child.stdout.take().expect("piped"), &log);
        collect(child.stderr.take().expect("piped"), &log);
        let name = format!("{binary} {}", release.version);
        let mut process = Self { name, child, log, address: String::new(), client: reqwest::Client::new() };
        process.address = eventually(async || {
            let lines = process.lines();
            let serving =
                lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.starts_with("serving")));
            serving.and_then(|line| line["address"].as_str().map(str::to_owned)).ok_or("it does not serve")
        })
        .await;
        process
    }

    /// Its process.
    #[allow(dead_code, reason = "for the tests of secrets, which look at its command line")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until `/ready` says so.
    pub(crate) async fn ready(&self) {
        eventually(async || {
            let (status, body) = self.get("/ready").await;
            (status == 200).then_some(()).ok_or_else(|| format!("{} is not ready: {body}", self.name))
        })
        .await;
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &Value::Null).await
    }

    /// Status and body of the answer to a request; `Null` sends no body.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let request = self.client.get(format!("http://{}{path}", self.address));
        request.send().await.expect("an answer").text().await.expect("text")
    }

    /// Submits a task; its id.
    pub(crate) async fn post(&self, path: &str, payload: &Value) -> String {
        let (status, task) = self.call("POST", path, payload).await;
        assert_eq!(status, 201, "{task}");
        task["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end; the exit code, none when a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        eventually(async || self.child.try_wait().expect("it is ours").ok_or("it still runs")).await.code()
    }

    /// Tells it to stop, and waits until it has done so in order.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended().await, Some(0), "{} did not stop in order", self.name);
    }

    /// Its log.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let log = self.log.lock().expect("no panic");
        log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.as_str().into())).collect()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "for those who look into a failed test")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("log of {}:", self.name);
            self.lines().iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// Takes every line, so that the pipe never fills.
fn collect(from: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = log.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            log.lock().expect("no panic").push(line);
        }
    });
}
