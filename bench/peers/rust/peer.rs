//! What the adapters of Rust peers share: the command line, the clock, and the loops around submits.

use std::{
    env,
    error::Error,
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{sleep, timeout},
};

pub type Result<T = Value> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const STALLED: Duration = Duration::from_secs(300);
const WARM_UP: u64 = 20;

static RAN: AtomicU64 = AtomicU64::new(0);
static FIRST: OnceLock<Instant> = OnceLock::new();
static STARTS: OnceLock<UnboundedSender<Instant>> = OnceLock::new();

/// What every handler does: note that it started.
pub fn start_handler() {
    let now = Instant::now();
    FIRST.get_or_init(|| now);
    if let Some(starts) = STARTS.get() {
        let _ = starts.send(now);
    }
    RAN.fetch_add(1, Ordering::Relaxed);
}

/// Runs the command of the command line and prints its result as one line of JSON.
pub async fn run(command: impl AsyncFnOnce(&str, &[u64]) -> Result) -> ExitCode {
    let name = env::args().nth(1).unwrap_or_default();
    let numbers: Vec<u64> = env::args().skip(2).filter_map(|number| number.parse().ok()).collect();
    let result = command(&name, &numbers);
    let result = match name.as_str() {
        "prepare" | "state" => timeout(STALLED, result).await.unwrap_or_else(|late| Err(late.into())),
        _ => result.await,
    };
    match result {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", error.to_string().lines().next().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// `defaults`, some of them replaced by PEER_SETTINGS (JSON) to measure others.
pub fn settings(mut defaults: Value) -> Value {
    let replaced = env::var("PEER_SETTINGS").ok().and_then(|text| serde_json::from_str(&text).ok());
    if let (Some(defaults), Some(Value::Object(replaced))) = (defaults.as_object_mut(), replaced) {
        defaults.extend(replaced);
    }
    defaults
}

pub fn database_url() -> String {
    env::var("DATABASE_URL").unwrap_or_default()
}

/// Waits until `jobs` handlers have started, then until `is_empty`; time runs from the first handler's start.
pub async fn drain(jobs: u64, is_empty: impl AsyncFn() -> Result<bool>) -> Result {
    let ran = || RAN.load(Ordering::Relaxed);
    let (mut seen, mut since) = (ran(), Instant::now());
    while ran() < jobs || !is_empty().await? {
        if ran() != seen {
            (seen, since) = (ran(), Instant::now());
        }
        if since.elapsed() > STALLED {
            return Err("drain: no progress for 300 s".into());
        }
        sleep(Duration::from_millis(if seen < jobs { 1 } else { 5 })).await;
    }
    let seconds = FIRST.get().map(|first| first.elapsed().as_secs_f64());
    Ok(json!({ "seconds": seconds, "ran": ran() }))
}

/// `callers` loops that submit `jobs` jobs, one per awaited call.
pub async fn single<F>(jobs: u64, callers: u64, submit: impl Fn() -> F + Clone + Send + 'static) -> Result
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let submit = submit.clone();
        running.spawn(async move {
            while TAKEN.fetch_add(1, Ordering::Relaxed) < jobs {
                timeout(STALLED, submit()).await??;
            }
            Result::<()>::Ok(())
        });
    }
    while let Some(caller) = running.join_next().await {
        caller??;
    }
    Ok(json!({ "seconds": start.elapsed().as_secs_f64() }))
}

/// Submits one job at a time to an idle worker of this process.
pub async fn latency(jobs: u64, pause_ms: u64, submit: impl AsyncFn() -> Result<()>) -> Result {
    let (sender, mut starts) = unbounded_channel();
    STARTS.get_or_init(|| sender);
    let mut samples = Vec::new();
    for number in 0..WARM_UP + jobs {
        sleep(Duration::from_millis(pause_ms)).await;
        let submitted = Instant::now();
        submit().await?;
        let started = timeout(STALLED, starts.recv()).await?.ok_or("latency: the worker ended")?;
        if number >= WARM_UP {
            samples.push(started.duration_since(submitted).as_secs_f64() * 1e3);
        }
    }
    samples.sort_by(f64::total_cmp);
    let percentile = |share: f64| samples[(samples.len() as f64 * share).ceil() as usize - 1];
    Ok(json!({ "p50_ms": percentile(0.5), "p99_ms": percentile(0.99) }))
}

/// Fills in batches of `batch` jobs.
pub async fn fill(jobs: u64, batch: u64, submit: impl AsyncFn(u64) -> Result<()>) -> Result {
    let start = Instant::now();
    let mut left = jobs;
    while left > 0 {
        let count = left.min(batch);
        timeout(STALLED, submit(count)).await??;
        left -= count;
    }
    Ok(json!({ "seconds": start.elapsed().as_secs_f64() }))
}
