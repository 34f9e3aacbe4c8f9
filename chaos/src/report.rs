//! What came of a run.

use std::{collections::BTreeMap, fmt, path::Path};

use service::exit::Failure;

use crate::{
    checker::{self, Verdict},
    inject::Happened,
    recovery::{Cost, costs},
};

/// Verdict, figures, and what they are made of.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    verdict: Verdict,
    costs: BTreeMap<&'static str, Cost>,
    complaints: Vec<String>,
}

impl Report {
    /// Reads the evidence in a directory.
    pub fn of(seed: u64, dir: &Path, happened: &[Happened], complaints: Vec<String>) -> Result<Self, Failure> {
        let verdict = checker::check_directory(dir).map_err(Failure::software)?;
        Ok(Self { seed, verdict, costs: costs(dir, happened)?, complaints })
    }

    /// Whether nothing was wrong.
    pub fn is_good(&self) -> bool {
        self.verdict.holds() && self.complaints.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:32} {:>6} {:>6} {:>13} {:>13} {:>13}",
            "seconds until 90 % of the rate", "faults", "unseen", "from fault", "from over", "taken over"
        )?;
        writeln!(
            f,
            "{:32} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
            "", "", "", "median", "max", "median", "max", "median", "max"
        )?;
        for (kind, cost) in &self.costs {
            writeln!(f, "{kind:32} {cost}")?;
        }
        writeln!(f, "{}", self.verdict)?;
        for complaint in &self.complaints {
            writeln!(f, "wrong: {complaint}")?;
        }
        let faults: usize = self.costs.values().map(|cost| cost.faults).sum();
        let verdict = if self.is_good() { "PASS" } else { "FAIL" };
        let violations: u64 = self.verdict.totals.values().sum();
        let counts = &self.verdict.counts;
        write!(
            f,
            "{verdict} seed={} faults={faults} tasks={} done={} violations={violations} complaints={}",
            self.seed,
            counts.tasks,
            counts.done,
            self.complaints.len()
        )
    }
}
