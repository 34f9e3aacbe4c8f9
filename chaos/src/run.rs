//! A whole run: start, load, faults, calm, evidence, verdict.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use service::{exit::Failure, tasks::Tasks};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    binaries::Binaries,
    collect::collect,
    inject::{Happened, inject},
    load::{Amount, Load},
    report::Report,
    schedule::{Planned, Shape, schedule},
    supervise::supervise,
    system::{QUEUES, Settings, System},
    writer::Writer,
};

/// How long clients may take to come to an end, once every fault is over.
const FINISH_LIMIT: Duration = Duration::from_secs(240);
/// How long what was accepted may take to end, apart from leases that must end first.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// What to run.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Names the schedule of faults and what clients ask for. The same seed does the same, as far as processes let it; none: a new one.
    #[arg(long)]
    seed: Option<u64>,
    /// How long clients submit and faults happen.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Tasks to submit in that time, about.
    #[arg(long, default_value_t = 50_000)]
    tasks: u64,
    /// Put a Redis beside Postgres, as the dispatcher.
    #[arg(long)]
    redis: bool,
    /// Of the workers: how old a heartbeat may get. Shorter ones make more faults fit into the time.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "3s")]
    lease_ttl: Duration,
    /// Where logs and evidence go; what is there is removed first. `chaos check` reads it again.
    #[arg(long, value_name = "DIR", default_value = ".taskrow/chaos")]
    dir: PathBuf,
}

/// Runs, and tells what came of it. An error: the run itself failed, and says nothing.
pub async fn run(args: RunArgs) -> Result<Report, Failure> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    empty(&args.dir)?;
    let settings = Settings {
        dir: fs::canonicalize(&args.dir).map_err(Failure::software)?,
        binaries: Binaries::beside_this()?,
        redis: args.redis,
        lease_ttl: args.lease_ttl,
    };
    let dir = settings.dir.clone();
    let system = Arc::new(System::start(settings).await?);
    let shape = Shape {
        apis: system.apis.len(),
        workers: system.workers.len(),
        redis: args.redis,
        lease_ttl: args.lease_ttl,
        length,
    };
    let planned = schedule(seed, &shape);
    info!(seed, faults = planned.len(), minutes = args.minutes, tasks = args.tasks, redis = args.redis, "running");
    let amount = Amount { tasks: args.tasks, time: length, probes: true };
    let load = Load::start(system.addresses.clone(), system.admin.clone(), &dir, seed, amount)?;
    let history = Arc::new(Writer::create(&dir, "harness").map_err(Failure::software)?);
    let (tasks, stop) = (Tasks::new(), CancellationToken::new());
    let supervisor = tasks.spawn(supervise(system.clone(), stop.clone()));

    let began = Instant::now();
    let happened = play(&system, &history, planned, began).await?;
    while !load.is_through() && began.elapsed() < length * 2 {
        time::sleep(Duration::from_millis(100)).await;
    }
    let accepted = load.accepted();
    info!(accepted, faults = happened.len(), "calm; waiting for the rest");
    let mut complaints = load.finish(FINISH_LIMIT).await;
    complaints.extend(settle(&system).await?);
    stop.cancel();
    complaints.extend(supervisor.await.map_err(Failure::software)?);
    complaints.extend(end(&system).await?);
    info!("collecting");
    collect(&system.admin, &dir).await?;
    Report::of(seed, &dir, &happened, complaints)
}

/// Makes every fault happen at its time; some overlap.
async fn play(
    system: &Arc<System>,
    history: &Arc<Writer>,
    planned: Vec<Planned>,
    began: Instant,
) -> Result<Vec<Happened>, Failure> {
    let tasks = Tasks::new();
    let mut under_way = Vec::new();
    for planned in planned {
        time::sleep_until(began + planned.at).await;
        info!(number = planned.number, lasts = ?planned.lasts, "{}", planned.fault);
        let (system, history) = (system.clone(), history.clone());
        under_way.push(tasks.spawn(async move { inject(&system, &history, planned).await }));
    }
    let mut happened = Vec::new();
    for fault in under_way {
        happened.push(fault.await.map_err(Failure::software)??);
    }
    Ok(happened)
}

/// Waits until everything accepted has ended.
async fn settle(system: &System) -> Result<Option<String>, Failure> {
    let client = reqwest::Client::new();
    for queue in QUEUES {
        // A pause whose answer was lost may have come late.
        let url = format!("http://{}/queues/{queue}/resume", system.addresses[0]);
        let answer = client.post(url).timeout(Duration::from_secs(20)).send().await;
        if !answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            warn!(queue, ?answer, "cannot resume");
        }
    }
    let limit = SETTLE_LIMIT + system.settings.lease_ttl * 4;
    Ok((!system.settled(limit).await?).then(|| format!("not everything ended within {limit:?} of calm")))
}

/// Ends every api and worker in order.
async fn end(system: &System) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    for node in system.nodes() {
        node.process.lock().await.signal(rustix::process::Signal::TERM)?;
    }
    for node in system.nodes() {
        let mut process = node.process.lock().await;
        match process.ended(Duration::from_secs(30)).await? {
            Some(Some(0)) => {}
            ended => complaints.push(format!("{} did not end in order: {ended:?}", process.name())),
        }
    }
    Ok(complaints)
}

/// An empty directory; an old one must look like one of these.
fn empty(dir: &std::path::Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::software(format!("{}: {error}", dir.display()));
    if dir.exists() {
        let is_empty = fs::read_dir(dir).map_err(cannot)?.next().is_none();
        if !is_empty && !dir.join("clients.history.jsonl").exists() {
            return Err(Failure::usage(format!("--dir: {} is there and holds no run", dir.display())));
        }
        fs::remove_dir_all(dir).map_err(cannot)?;
    }
    fs::create_dir_all(dir).map_err(cannot)
}
