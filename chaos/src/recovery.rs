//! How long after a fault the system was as fast as before it: from the times at which outcomes were written.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

use service::exit::Failure;

use crate::{
    audit::{Change, Row},
    inject::Happened,
};

/// Outcomes are counted in slices this long, in microseconds.
const SLICE: i64 = 100_000;
/// A rate is taken over so many slices: a second.
const WINDOW: usize = 10;
/// The rate before a fault is taken over so many slices, at most.
const BEFORE: usize = 100;
/// As fast as before.
const AS_BEFORE: f64 = 0.9;
/// Below so many outcomes a second before it, a rate says nothing.
const LEAST_RATE: f64 = 50.0;

/// What the faults of one kind cost.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// How many there were.
    pub faults: usize,
    /// Of them, those whose end another fault did not let see. They are in none of the times.
    pub unseen: usize,
    /// From the fault until outcomes came at 90 % of the rate before it. Of those with a rate before them.
    pub from_begin: Vec<Duration>,
    /// The same from when everything ran again.
    pub from_over: Vec<Duration>,
    /// From the fault until the last task that a lost worker held had left it.
    pub taken_over: Vec<Duration>,
}

/// By kind of fault.
pub fn costs(dir: &Path, happened: &[Happened]) -> Result<BTreeMap<&'static str, Cost>, Failure> {
    let seen = Seen::read(dir)?;
    let mut costs: BTreeMap<&'static str, Cost> = BTreeMap::new();
    for (at, fault) in happened.iter().enumerate() {
        let cost = costs.entry(fault.planned.fault.kind()).or_default();
        cost.faults += 1;
        let next = happened.get(at + 1).map_or(i64::MAX, |next| next.began);
        let before = seen.rate_before(fault.began);
        let back = |from| seen.back_at(from, before).filter(|took| from + took.as_micros() as i64 <= next);
        match (back(fault.began), back(fault.over)) {
            (Some(begin), Some(over)) if before >= LEAST_RATE => {
                cost.from_begin.push(begin);
                cost.from_over.push(over);
            }
            _ => cost.unseen += 1,
        }
        cost.taken_over.extend(fault.victim.and_then(|worker| seen.taken_over(worker, fault.began)));
    }
    Ok(costs)
}

/// What the audit says about times.
#[derive(Debug, Default)]
struct Seen {
    first: i64,
    outcomes: Vec<u32>,
    /// When each worker was found dead, and when the last task left it.
    dead: BTreeMap<i64, i64>,
    last: BTreeMap<i64, i64>,
}

impl Seen {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let mut seen = Self::default();
        let file = File::open(dir.join("audit.jsonl")).map_err(Failure::software)?;
        for line in BufReader::new(file).lines() {
            let row: Row = serde_json::from_str(&line.map_err(Failure::software)?).map_err(Failure::software)?;
            seen.take(&row);
        }
        Ok(seen)
    }

    fn take(&mut self, row: &Row) {
        match row.change {
            Change::Outcome { .. } => {
                if self.outcomes.is_empty() {
                    self.first = row.at;
                }
                let slice = usize::try_from((row.at - self.first).max(0) / SLICE).unwrap_or_default();
                if self.outcomes.len() <= slice {
                    self.outcomes.resize(slice + 1, 0);
                }
                self.outcomes[slice] += 1;
            }
            Change::Dead { worker } => {
                self.dead.insert(worker, row.at);
            }
            Change::LeaseGone { worker, .. } | Change::LeaseShrunk { worker, .. } => {
                self.last.insert(worker, row.at);
            }
            _ => {}
        }
    }

    fn slice(&self, at: i64) -> usize {
        usize::try_from((at - self.first).max(0) / SLICE).unwrap_or_default()
    }

    /// Outcomes a second.
    fn rate(&self, from: usize, to: usize) -> f64 {
        let counted = self.outcomes.get(from..to.min(self.outcomes.len())).unwrap_or_default();
        let count: u32 = counted.iter().sum();
        f64::from(count) * 1e6 / SLICE as f64 / (to - from).max(1) as f64
    }

    /// Just before a moment.
    fn rate_before(&self, at: i64) -> f64 {
        let end = self.slice(at);
        let start = end.saturating_sub(BEFORE);
        if end - start < WINDOW { 0.0 } else { self.rate(start, end) }
    }

    /// How long after a moment a second began in which the rate was as before. None: it ended before that.
    fn back_at(&self, at: i64, before: f64) -> Option<Duration> {
        let start = self.slice(at) + 1;
        let last = self.outcomes.len().saturating_sub(WINDOW);
        let back = (start..last).find(|from| self.rate(*from, from + WINDOW) >= AS_BEFORE * before)?;
        Some(Duration::from_micros(((back - start) as i64 * SLICE).unsigned_abs()))
    }

    /// How long after a moment this worker held nothing any more, if it was found dead after it.
    fn taken_over(&self, worker: i64, at: i64) -> Option<Duration> {
        let found = self.dead.get(&worker).filter(|found| **found >= at)?;
        let last = self.last.get(&worker).map_or(*found, |last| *last.max(found));
        Some(Duration::from_micros((last - at).unsigned_abs()))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |times: &[Duration]| {
            let mut times = times.to_vec();
            times.sort_unstable();
            let seconds = |time: Option<&Duration>| {
                time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()))
            };
            format!("{:>6} {:>6}", seconds(times.get(times.len() / 2)), seconds(times.last()))
        };
        write!(
            f,
            "{:>6} {:>6} {} {} {}",
            self.faults,
            self.unseen,
            column(&self.from_begin),
            column(&self.from_over),
            column(&self.taken_over)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(per_slice: &[u32]) -> Seen {
        let (dead, last) = (BTreeMap::from([(7, 3_000_000)]), BTreeMap::from([(7, 4_500_000), (8, 5_000_000)]));
        Seen { first: 0, outcomes: per_slice.to_vec(), dead, last }
    }

    #[test]
    fn a_rate_comes_back_after_the_gap() {
        let seen = seen(&[vec![10; 50], vec![0; 30], vec![10; 60]].concat());
        let (fault, over) = (5_000_000, 7_000_000);
        let before = seen.rate_before(fault);
        assert_eq!(before, 100.0);
        assert_eq!(seen.back_at(fault, before), Some(Duration::from_millis(2800)));
        assert_eq!(seen.back_at(over, before), Some(Duration::from_millis(800)));
        assert_eq!(seen.back_at(13_500_000, before), None, "the run ended");
    }

    #[test]
    fn who_was_found_dead_after_it_counts() {
        let seen = seen(&[10; 60]);
        assert_eq!(seen.taken_over(7, 1_000_000), Some(Duration::from_millis(3500)));
        assert_eq!(seen.taken_over(7, 3_500_000), None, "it was found dead before");
        assert_eq!(seen.taken_over(8, 1_000_000), None, "it was never found dead");
    }
}
