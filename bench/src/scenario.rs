//! A thing to measure, and measuring it several times.

use clap::Parser;
use serde::Serialize;
use service::exit::Failure;

use crate::{
    figures::{Figures, Target},
    server::Setup,
};

/// A thing to measure. Its fields are its options; [`Parser`] gives their defaults.
pub(crate) trait Scenario: Parser + Serialize {
    /// In results and on the command line.
    const NAME: &'static str;
    /// What its figures should be, on 2 shared cores.
    const TARGETS: &'static [Target];

    /// The least work that goes through every part of it.
    fn smoke() -> Self;

    /// Measures once, on a database of its own.
    fn run(&self, setup: &Setup) -> impl Future<Output = Result<Figures, Failure>>;

    /// With every option at its default.
    fn defaults() -> Self {
        Self::parse_from([Self::NAME])
    }
}

/// All runs of a scenario.
pub(crate) struct Measured {
    pub(crate) scenario: &'static str,
    pub(crate) settings: serde_json::Value,
    pub(crate) targets: &'static [Target],
    pub(crate) runs: Vec<Figures>,
}

/// Measures so many times, one after the other.
pub(crate) async fn measure<S: Scenario>(scenario: &S, setup: &Setup, runs: usize) -> Result<Measured, Failure> {
    let mut done = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        done.push(scenario.run(setup).await?);
    }
    let settings = serde_json::to_value(scenario).map_err(Failure::software)?;
    Ok(Measured { scenario: S::NAME, settings, targets: S::TARGETS, runs: done })
}
