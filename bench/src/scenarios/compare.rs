//! The same no-op work through queues that a user would pick instead, one after the other on the same server.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;

use super::{Drain, Latency};
use crate::{
    figures::{Figures, Target, at_least},
    http::{closed_loop, post},
    load::payload,
    peers::{self, Peer, number},
    scenario::Scenario,
    server::{Bench, OwnDatabase, Setup, Snapshot},
};

/// What this queue is called among the others.
const OURS: &str = "taskrow";
/// Pause between two tasks that are timed, in milliseconds.
const PAUSE_MS: usize = 20;
/// Tasks of one bulk submit of ours.
const BULK: usize = 1000;

/// The same work on other queues (install them with bench/peers/setup.sh): drain, bulk submit, single submit, latency, held snapshot.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Compare {
    /// Those to compare with.
    #[arg(long, value_delimiter = ',', default_values_t = peers::NAMES.map(str::to_owned))]
    peers: Vec<String>,
    /// Tasks to submit in bulk and to drain.
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
    /// Tasks to submit one by one.
    #[arg(long, default_value_t = 5_000)]
    single: usize,
    /// Callers that do so at the same time.
    #[arg(long, default_value_t = 32)]
    callers: usize,
    /// Tasks to time, one after the other.
    #[arg(long, default_value_t = 300)]
    timed: usize,
    /// Tasks that go through under a held snapshot.
    #[arg(long, default_value_t = 300_000)]
    held: usize,
    /// The last of them, whose rate is compared with that of a clean drain of as many.
    #[arg(long, default_value_t = 50_000)]
    last: usize,
}

/// What is measured of each queue.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    keeps_record: bool,
    drain_per_s: f64,
    bulk_per_s: f64,
    single_per_s: f64,
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    held_share: f64,
}

impl Scenario for Compare {
    const NAME: &'static str = "compare";
    const TARGETS: &'static [Target] = &[
        at_least("drain_against_keepers", 3.0),
        at_least("drain_against_graphile-worker", 2.0),
        at_least("single_against_best", 8.0),
        at_least("latency_against_best", 1.0),
        at_least("held_against_awa", 0.95),
    ];

    fn smoke() -> Self {
        Self { peers: Vec::new(), tasks: 2_000, single: 200, timed: 10, held: 4_000, last: 2_000, ..Self::defaults() }
    }

    /// Measure by measure, so that all queues meet the machine in the same mood.
    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let (_server, setup) = setup.shared().await?;
        let mut all = vec![(OURS, Marks { keeps_record: true, ..Marks::default() })];
        for name in &self.peers {
            let about = peers::about(name)?;
            note(&about);
            all.push((name, Marks { keeps_record: about["keeps_record"] == true, ..Marks::default() }));
        }
        for (name, marks) in &mut all {
            (marks.bulk_per_s, marks.drain_per_s) = match *name {
                OURS => (self.submit(&setup, true).await?, drain(self.tasks).rate_on(&setup).await?),
                peer => self.peer(&setup, peer).await?.fill_and_drain(self.tasks)?,
            };
        }
        for (name, marks) in &mut all {
            marks.single_per_s = match *name {
                OURS => self.submit(&setup, false).await?,
                peer => {
                    let peer = self.peer(&setup, peer).await?;
                    self.single as f64 / peer.seconds("single", &[self.single, self.callers])?
                }
            };
        }
        for (name, marks) in &mut all {
            (marks.latency_p50_ms, marks.latency_p99_ms) = match *name {
                OURS => {
                    let latency = Latency { tasks: self.timed, ..Latency::defaults() }.run(&setup).await?;
                    (latency.get("start_p50_ms"), latency.get("start_p99_ms"))
                }
                peer => {
                    let latency = self.peer(&setup, peer).await?.run("latency", &[self.timed, PAUSE_MS])?;
                    (number(&latency, "p50_ms")?, number(&latency, "p99_ms")?)
                }
            };
        }
        for (name, marks) in &mut all {
            marks.held_share = match *name {
                OURS => self.held(&setup).await?,
                peer => self.held_of_peer(&setup, peer).await?,
            };
        }
        Ok(figures(&all))
    }
}

fn drain(tasks: usize) -> Drain {
    Drain { tasks, ..Drain::defaults() }
}

impl Compare {
    /// A peer in a database of its own.
    async fn peer(&self, setup: &Setup, name: &str) -> Result<Peer, Failure> {
        Peer::prepare(name, OwnDatabase::create(setup).await?)
    }

    /// Over HTTP, in bulk or one by one. Tasks per second.
    async fn submit(&self, setup: &Setup, in_bulk: bool) -> Result<f64, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let (_api, address) = bench.spawn_api(&[]).await?;
        let time = Duration::from_secs(3);
        if in_bulk {
            let task = format!(r#"{{"payload":{}}}"#, payload(17));
            let request = post("/tasks/batch", &format!("[{}]", vec![task; BULK].join(",")));
            let rate = closed_loop(&address, 4, time, &Arc::new(vec![request])).await?;
            bench.check_stored(rate.answered * BULK).await?;
            return Ok(rate.requests_per_s * BULK as f64);
        }
        let request = post("/tasks", &payload(17));
        let rate = closed_loop(&address, self.callers, time, &Arc::new(vec![request])).await?;
        bench.check_stored(rate.answered).await?;
        Ok(rate.requests_per_s)
    }

    /// The rate of the last tasks under a held snapshot, as a share of the rate of as many in a clean database.
    async fn held(&self, setup: &Setup) -> Result<f64, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let clean = drain(self.last).rate(&mut bench).await?;
        let _snapshot = Snapshot::hold(&bench.url).await?;
        drain(self.held.saturating_sub(self.last)).rate(&mut bench).await?;
        Ok(drain(self.last).rate(&mut bench).await? / clean)
    }

    /// The same of a peer.
    async fn held_of_peer(&self, setup: &Setup, name: &str) -> Result<f64, Failure> {
        let peer = self.peer(setup, name).await?;
        let (_, clean) = peer.fill_and_drain(self.last)?;
        let _snapshot = Snapshot::hold(peer.url()).await?;
        peer.fill_and_drain(self.held.saturating_sub(self.last))?;
        Ok(peer.fill_and_drain(self.last)?.1 / clean)
    }
}

fn figures(all: &[(&str, Marks)]) -> Figures {
    let mut figures = Figures::default();
    for (name, marks) in all {
        figures.set(format!("{name}_drain_per_s"), marks.drain_per_s);
        figures.set(format!("{name}_bulk_per_s"), marks.bulk_per_s);
        figures.set(format!("{name}_single_per_s"), marks.single_per_s);
        figures.set(format!("{name}_latency_p50_ms"), marks.latency_p50_ms);
        figures.set(format!("{name}_latency_p99_ms"), marks.latency_p99_ms);
        figures.set(format!("{name}_held_share"), marks.held_share);
    }
    let of = |name: &str| all.iter().find(|(known, _)| *known == name).map(|(_, marks)| *marks);
    let ours = of(OURS).unwrap_or_default();
    let peers = || all.iter().filter(|(name, _)| *name != OURS).map(|(_, marks)| marks);
    let most = |figure: fn(&Marks) -> f64| peers().map(figure).fold(f64::NAN, f64::max);
    let best_keeper = peers().filter(|peer| peer.keeps_record).map(|peer| peer.drain_per_s).fold(f64::NAN, f64::max);
    figures.set("drain_against_keepers", ours.drain_per_s / best_keeper);
    if let Some(graphile) = of("graphile-worker") {
        figures.set("drain_against_graphile-worker", ours.drain_per_s / graphile.drain_per_s);
    }
    figures.set("bulk_against_best", ours.bulk_per_s / most(|peer| peer.bulk_per_s));
    figures.set("single_against_best", ours.single_per_s / most(|peer| peer.single_per_s));
    let quickest = peers().map(|peer| peer.latency_p50_ms).fold(f64::NAN, f64::min);
    figures.set("latency_against_best", quickest / ours.latency_p50_ms);
    if let Some(awa) = of("awa") {
        figures.set("held_against_awa", ours.held_share / awa.held_share);
    }
    figures
}

#[expect(clippy::print_stdout, reason = "versions and settings are part of the figures")]
fn note(about: &serde_json::Value) {
    println!("{about}");
}
