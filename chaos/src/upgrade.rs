//! A release beside the one before it, under load: the migration comes in the middle, then the new code, then the old code comes back.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use rustix::process::Signal;
use service::exit::Failure;
use tokio::time;
use tracing::info;

use crate::{
    binaries::Binaries,
    load::Amount,
    report::Report,
    run::{Run, empty},
    system::{Node, Settings},
};

/// How long a process may take that was told to end in order.
const END_LIMIT: Duration = Duration::from_secs(30);
/// The stages below, each as long as the others.
const STAGES: u32 = 6;

/// What to run.
#[derive(Args, Clone, Debug)]
pub struct UpgradeArgs {
    /// Directory with `api`, `worker` and `migrate` of the previous release: `make previous` builds them.
    #[arg(long, value_name = "DIR")]
    previous: PathBuf,
    /// Names what clients ask for.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long clients submit.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Tasks to submit in that time, about.
    #[arg(long, default_value_t = 20_000)]
    tasks: u64,
    /// Of the workers.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "3s")]
    lease_ttl: Duration,
    /// Where logs and evidence go; what is there is removed first.
    #[arg(long, value_name = "DIR", default_value = ".taskrow/chaos-upgrade")]
    dir: PathBuf,
}

/// Runs, and tells what came of it.
pub async fn run(args: UpgradeArgs) -> Result<Report, Failure> {
    let this = Binaries::beside_this()?;
    let previous = Binaries::of(args.previous, this.chaos.clone())?;
    let settings = Settings {
        dir: empty(&args.dir)?,
        binaries: previous.clone(),
        redis: false,
        plain: true,
        lease_ttl: args.lease_ttl,
    };
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let run = Run::begin(settings, args.seed, Amount { tasks: args.tasks, time, plain: true }).await?;
    let system = run.system.clone();
    let mut stage = 0;
    let mut next = async |what: &str| {
        stage += 1;
        info!("{what}");
        time::sleep_until(run.began + time / STAGES * stage).await;
    };
    next("the previous release").await;

    this.migrate(&system.owner_url, &system.settings.dir, None).await?;
    next("its code, on this release's schema").await;

    replace(&system.apis[1], &this.api).await?;
    replace(&system.workers[2], &this.worker).await?;
    replace(&system.workers[3], &this.worker).await?;
    next("both releases").await;

    // Either takes over what the other one's killed worker held.
    for node in [&system.workers[0], &system.workers[3]] {
        let mut process = node.process.lock().await;
        process.kill().await?;
        process.start()?;
    }
    next("both, after a kill of a worker of each").await;

    replace(&system.apis[0], &this.api).await?;
    replace(&system.workers[0], &this.worker).await?;
    replace(&system.workers[1], &this.worker).await?;
    next("this release").await;

    for api in &system.apis {
        replace(api, &previous.api).await?;
    }
    for worker in &system.workers {
        replace(worker, &previous.worker).await?;
    }
    next("the previous release again, on this one's schema").await;
    run.end(Vec::new()).await
}

/// Stops a process in order, and starts another program in its place.
async fn replace(node: &Node, program: &std::path::Path) -> Result<(), Failure> {
    let mut process = node.process.lock().await;
    process.signal(Signal::TERM)?;
    match process.ended(END_LIMIT).await? {
        Some(Some(0)) => {}
        ended => return Err(Failure::software(format!("{} did not end in order: {ended:?}", process.name()))),
    }
    process.replace(program, &[]);
    process.start()
}
