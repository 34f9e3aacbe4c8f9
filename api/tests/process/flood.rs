//! Thousands of peers that hold what they can: the process' memory has a bound, others are served, and everything is let go.

use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use local_pg::testing;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{io::AsyncWriteExt, net::TcpStream, time};

use super::{address, api};

/// Peers of the largest crowd: as many as `API_CONNECTIONS` allows by default.
const CROWD: usize = 10_000;
/// What an idle connection may cost: hyper's first read buffer has 8 KiB, the task with its state machine takes some more.
const IDLE_KIB: usize = 24;
/// Sent of a head by those who never end it; the limit is 32 KiB.
const HALF_HEAD: usize = 30 << 10;
/// What such a connection may cost: a buffer that doubles as it grows.
const HEAD_KIB: usize = 64 + IDLE_KIB;

/// An api under attack.
struct Target {
    child: Child,
    address: String,
    client: reqwest::Client,
}

impl Target {
    async fn start(flags: &[&str], url: &str) -> Self {
        let mut child = api(&[&["--log-format", "json"], flags].concat(), url).spawn().unwrap();
        let address = address(&mut child);
        // A connection per request, as of a client that comes anew.
        let client =
            reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(20)).build().unwrap();
        let target = Self { child, address, client };
        target.until("it is ready", async || target.get("/ready").await.0 == 200).await;
        // What the first requests set up for good is not the flood's.
        for _ in 0..100 {
            assert_eq!(target.post().await, 201);
        }
        target
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn post(&self) -> u16 {
        let request =
            self.client.post(format!("http://{}/tasks", self.address)).header("content-type", "application/json");
        request.body("1").send().await.unwrap().status().as_u16()
    }

    /// Connects so many peers, each of which sends this.
    async fn crowd(&self, peers: usize, text: &[u8]) -> Vec<TcpStream> {
        let mut all = Vec::with_capacity(peers);
        while all.len() < peers {
            let peer = async || {
                let mut stream = TcpStream::connect(&self.address).await.unwrap();
                // It may be refused halfway.
                let _ = time::timeout(Duration::from_secs(20), stream.write_all(text)).await.expect("it is read");
                stream
            };
            all.extend(join_all((0..100.min(peers - all.len())).map(|_| peer())).await);
        }
        all
    }

    async fn connections(&self) -> usize {
        let metrics = self.get("/metrics").await.1;
        let line = metrics.lines().find_map(|line| line.strip_prefix("taskrow_api_http_connections "));
        line.unwrap().parse().unwrap()
    }

    /// Its memory now, in KiB.
    fn memory_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !condition().await {
            assert!(Instant::now() < deadline, "never happened: {what}");
            time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this process and its children have so many files open.
fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        most >= count,
        "this test needs {count} open files, and the system allows {most}: raise the limit (ulimit -Hn)"
    );
    let current = limit.current.unwrap_or(u64::MAX).max(count);
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_lock_nobody_out_and_cost_little() {
    allow_files(CROWD as u64 + 1000);
    let database = testing::database().await;
    let target = Target::start(&[], database.url()).await;
    let before = target.memory_kib();
    let mut after = Vec::new();
    for _ in 0..2 {
        let idle = target.crowd(CROWD, b"").await;
        for _ in 0..5 {
            assert_eq!((target.get("/live").await.0, target.post().await), (200, 201), "others are served");
        }
        let open = target.connections().await;
        assert!(open > CROWD * 9 / 10 && open <= CROWD, "{open} connections are open");
        after.push(target.memory_kib());
        drop(idle);
        target.until("all are let go", async || target.connections().await == 1).await;
    }
    let cost = (after[0].saturating_sub(before)) / CROWD;
    assert!(cost <= IDLE_KIB, "an idle connection costs {cost} KiB: {before} KiB before, {after:?} after");
    assert!(after[1] - before <= (after[0] - before) * 5 / 4, "the second time costs more: {before} KiB, {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_bodies_that_never_end_hold_bounded_memory() {
    const PEERS: usize = 1000;
    const BODY_MEMORY_KIB: usize = 32 << 10;
    allow_files(PEERS as u64 * 2 + 1000);
    let database = testing::database().await;
    let flags =
        ["--api-head-timeout=60s", "--api-request-timeout=60s", "--api-body-memory=32MiB", "--api-body-limit=1MiB"];
    let flags = [&flags[..], &["--api-batch-body-limit=1MiB"]].concat();
    let target = Target::start(&flags, database.url()).await;

    let before = target.memory_kib();
    let head = format!("GET /live HTTP/1.1\r\na: {}", "x".repeat(HALF_HEAD));
    let heads = target.crowd(PEERS, head.as_bytes()).await;
    assert_eq!((target.get("/live").await.0, target.post().await), (200, 201), "others are served");
    let held = target.memory_kib().saturating_sub(before);
    assert!(held <= PEERS * HEAD_KIB, "{PEERS} half heads hold {held} KiB");
    drop(heads);
    target.until("all are let go", async || target.connections().await == 1).await;

    let before = target.memory_kib();
    let head = "POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nf0000\r\n";
    let bodies = target.crowd(PEERS, [head.as_bytes(), &vec![b' '; 0xe0000]].concat().as_slice()).await;
    // 1,000 of these need 900 MiB; what does not fit is answered 503, and read on for a while.
    assert_eq!(target.get("/live").await.0, 200, "others are served");
    let held = target.memory_kib().saturating_sub(before);
    let bound = BODY_MEMORY_KIB * 2 + PEERS * HEAD_KIB;
    assert!(held <= bound, "{PEERS} endless bodies hold {held} KiB, over {bound}");
    drop(bodies);
    target.until("all are let go", async || target.connections().await == 1).await;
    target.until("bodies fit again", async || target.post().await == 201).await;
}
