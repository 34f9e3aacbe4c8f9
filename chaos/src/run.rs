//! A whole run: start, load, faults, calm, evidence, verdict.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use service::{exit::Failure, tasks::Tasks};
use tokio::{
    task::JoinHandle,
    time::{self, Instant},
};
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
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let settings = Settings {
        dir: empty(&args.dir)?,
        binaries: Binaries::beside_this()?,
        redis: args.redis,
        plain: false,
        lease_ttl: args.lease_ttl,
    };
    let run = Run::begin(settings, seed, Amount { tasks: args.tasks, time, plain: false }).await?;
    let shape = Shape {
        apis: run.system.apis.len(),
        workers: run.system.workers.len(),
        redis: args.redis,
        lease_ttl: args.lease_ttl,
        length: time,
    };
    let planned = schedule(seed, &shape);
    info!(seed, faults = planned.len(), minutes = args.minutes, tasks = args.tasks, redis = args.redis, "running");
    let happened = play(&run, planned).await?;
    run.end(happened).await
}

/// A system under load.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) system: Arc<System>,
    pub(crate) history: Arc<Writer>,
    pub(crate) began: Instant,
    load: Load,
    seed: u64,
    time: Duration,
    supervisor: JoinHandle<Vec<String>>,
    stop: CancellationToken,
}

impl Run {
    /// Starts it.
    pub(crate) async fn begin(settings: Settings, seed: u64, amount: Amount) -> Result<Self, Failure> {
        let dir = settings.dir.clone();
        let system = Arc::new(System::start(settings).await?);
        let history = Arc::new(Writer::create(&dir, "harness").map_err(Failure::software)?);
        let stop = CancellationToken::new();
        let supervisor = Tasks::new().spawn(supervise(system.clone(), stop.clone()));
        let load = Load::start(system.addresses.clone(), system.admin.clone(), &dir, seed, amount)?;
        Ok(Self { system, history, began: Instant::now(), load, seed, time: amount.time, supervisor, stop })
    }

    /// Waits until all is calm and everything has ended, ends all processes in order, and judges.
    pub(crate) async fn end(self, happened: Vec<Happened>) -> Result<Report, Failure> {
        let Self { system, load, began, time: length, .. } = self;
        while !load.is_through() && began.elapsed() < length * 2 {
            time::sleep(Duration::from_millis(100)).await;
        }
        info!(accepted = load.accepted(), faults = happened.len(), "calm; waiting for the rest");
        let mut complaints = load.finish(FINISH_LIMIT).await;
        complaints.extend(settle(&system).await?);
        self.stop.cancel();
        complaints.extend(self.supervisor.await.map_err(Failure::software)?);
        complaints.extend(end_in_order(&system).await?);
        info!("collecting");
        collect(&system.admin, &system.settings.dir).await?;
        Report::of(self.seed, &system.settings.dir, &happened, complaints)
    }
}

/// Makes every fault happen at its time; some overlap.
async fn play(run: &Run, planned: Vec<Planned>) -> Result<Vec<Happened>, Failure> {
    let tasks = Tasks::new();
    let mut under_way = Vec::new();
    for planned in planned {
        time::sleep_until(run.began + planned.at).await;
        info!(number = planned.number, lasts = ?planned.lasts, "{}", planned.fault);
        let (system, history) = (run.system.clone(), run.history.clone());
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
async fn end_in_order(system: &System) -> Result<Vec<String>, Failure> {
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

/// An empty directory, in full; an old one must look like one of these.
pub(crate) fn empty(dir: &Path) -> Result<PathBuf, Failure> {
    let cannot = |error: std::io::Error| Failure::software(format!("{}: {error}", dir.display()));
    if dir.exists() {
        let is_empty = fs::read_dir(dir).map_err(cannot)?.next().is_none();
        if !is_empty && !dir.join("clients.history.jsonl").exists() {
            return Err(Failure::usage(format!("--dir: {} is there and holds no run", dir.display())));
        }
        fs::remove_dir_all(dir).map_err(cannot)?;
    }
    fs::create_dir_all(dir).map_err(cannot)?;
    fs::canonicalize(dir).map_err(cannot)
}
