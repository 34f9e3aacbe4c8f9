//! The real `worker` binary.

use std::{
    collections::BTreeMap,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use rustix::process::{Pid, Signal, kill_process};
use service::tasks::Tasks;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time,
};

use super::{LONG, eventually, queue::Queue};

/// A worker process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
}

/// What a process that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary with these variables and nothing else in its environment.
fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the binary to its end.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let output =
        time::timeout(LONG, command(arguments, environment).output()).await.expect("it ends").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Process {
    /// Starts a worker that logs JSON, with a port of its own and short intervals unless `settings` say otherwise.
    pub(crate) fn start(queue: &Queue, settings: &[(&str, &str)]) -> Self {
        let of_queue = queue.environment();
        let of_queue: Vec<_> = of_queue.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::start_with(&[&of_queue, settings].concat())
    }

    /// The same, and only `settings` say where the servers are.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut environment = BTreeMap::from([
            ("LOG_FORMAT", "json"),
            ("WORKER_BIND", "127.0.0.1:0"),
            ("WORKER_LEASE_TTL", "3s"),
            ("WORKER_HEARTBEAT_INTERVAL", "500ms"),
            ("WORKER_POLL_INTERVAL", "200ms"),
        ]);
        environment.extend(settings.iter().copied());
        let mut child = command(&[], &environment.into_iter().collect::<Vec<_>>()).spawn().expect("it runs");
        let output = Arc::default();
        collect(child.stdout.take().expect("piped"), &output);
        collect(child.stderr.take().expect("piped"), &output);
        Self { child, output }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.id().cast_signed()).expect("not zero"), signal).expect("a signal");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        time::timeout(LONG, self.child.wait()).await.expect("it ends").expect("its status")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }

    /// Everything it has printed, on both outputs.
    pub(crate) fn output(&self) -> String {
        self.output.lock().expect("no panic").clone()
    }

    /// The identities it has had, by its log, in order.
    pub(crate) fn identities(&self) -> Vec<i64> {
        self.lines()
            .iter()
            .filter(|line| line["message"] == "registered")
            .filter_map(|line| line["worker.id"].as_i64())
            .collect()
    }

    /// Waits until it has registered so many times; gives its newest identity.
    pub(crate) async fn registered(&self, times: usize) -> i64 {
        eventually("the worker registers", async || {
            let identities = self.identities();
            (identities.len() >= times).then(|| identities[times - 1])
        })
        .await
    }

    /// Its log, every line of which is a JSON object.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.output()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// What its health endpoint answers: the status code, and the body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.get_as(path, None).await
    }

    /// The same, with an `Authorization` header.
    pub(crate) async fn get_as(&self, path: &str, authorization: Option<&str>) -> (u16, String) {
        let address = eventually("the port is open", async || {
            let lines = self.lines();
            lines.iter().find_map(|line| line["address"].as_str().map(str::to_owned))
        })
        .await;
        let mut stream = TcpStream::connect(address).await.expect("an open port");
        let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{authorization}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status, body.unwrap_or_default())
    }
}

/// Adds whole lines to `output`.
fn collect(from: impl AsyncRead + Send + Unpin + 'static, output: &Arc<Mutex<String>>) {
    let output = output.clone();
    Tasks::new().spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut output = output.lock().expect("no panic");
            output.push_str(&line);
            output.push('\n');
        }
    });
}

/// Processor time of a process so far, in ticks of 10 ms.
pub(crate) fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<_> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    fields[11].parse::<u64>().expect("user") + fields[12].parse::<u64>().expect("system")
}
