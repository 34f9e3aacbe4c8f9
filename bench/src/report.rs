//! Figures for people, as a table, and for programs, as JSON.

use std::{collections::BTreeMap, fs, path::Path};

use chrono::Utc;
use serde_json::{Map, Value, json};
use service::exit::Failure;

use crate::{
    figures::{Bound, median},
    machine,
    scenario::Measured,
};

impl Measured {
    /// The median over runs, by name, in order.
    fn medians(&self) -> Vec<(&str, f64)> {
        let Some(first) = self.runs.first() else { return Vec::new() };
        first.names().map(|name| (name, median(self.all(name)))).collect()
    }

    fn all(&self, name: &str) -> Vec<f64> {
        self.runs.iter().map(|run| run.get(name)).collect()
    }

    /// Medians of curves whose points lie over the same places in all runs, as backlogs do and times do not; of the others, the last.
    fn curves(&self) -> BTreeMap<String, Vec<(f64, f64)>> {
        let Some(last) = self.runs.last() else { return BTreeMap::new() };
        let mut curves = last.curves.clone();
        for (name, points) in &mut curves {
            let all: Vec<_> = self.runs.iter().filter_map(|run| run.curves.get(name)).collect();
            let is_same =
                |other: &Vec<(f64, f64)>| other.iter().map(|point| point.0).eq(points.iter().map(|point| point.0));
            if all.iter().all(|other| is_same(other)) {
                for (place, point) in points.iter_mut().enumerate() {
                    point.1 = median(all.iter().map(|other| other[place].1).collect());
                }
            }
        }
        curves
    }

    fn bounds(&self, name: &str) -> impl Iterator<Item = Bound> {
        self.targets.iter().filter(move |target| target.figure == name).map(|target| target.bound)
    }

    /// A line per figure: median, least and most, and whether the target is met.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{} ({} runs)\n", self.scenario, self.runs.len());
        for (name, value) in self.medians() {
            let all = self.all(name);
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let range = format!("{} .. {}", short(least), short(most));
            table.push_str(&format!("  {name:<34} {:>12}   {range:<26}", short(value)));
            for bound in self.bounds(name) {
                let verdict = if bound.holds(value) { "met" } else { "MISSED" };
                table.push_str(&format!(" {bound} {verdict}"));
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        table
    }

    fn json(&self) -> Value {
        let mut figures: Map<String, Value> =
            self.medians().into_iter().map(|(name, value)| (name.to_owned(), number(value))).collect();
        let runs = |name: &str| -> Value { self.all(name).into_iter().map(number).collect() };
        let all: Map<String, Value> = figures.keys().map(|name| (name.clone(), runs(name))).collect();
        // What options left out has no target.
        let targets = self.targets.iter().filter_map(|target| {
            let value = figures.get(target.figure)?;
            let met = value.as_f64().is_some_and(|value| target.bound.holds(value));
            Some(json!({ "figure": target.figure, "bound": target.bound, "met": met }))
        });
        let targets: Value = targets.collect();
        figures.insert("settings".to_owned(), self.settings.clone());
        figures.insert("runs".to_owned(), all.into());
        figures.insert("targets".to_owned(), targets);
        let curves = self.curves();
        if !curves.is_empty() {
            figures.insert("curves".to_owned(), json!(curves));
        }
        figures.into()
    }
}

/// Everything about these measurements: when, on what, and the medians by scenario and name.
pub(crate) fn document(postgres: &Value, measured: &[Measured]) -> Value {
    let scenarios: Map<String, Value> =
        measured.iter().map(|measured| (measured.scenario.to_owned(), measured.json())).collect();
    json!({
        "date": Utc::now().format("%Y-%m-%dT%H:%MZ").to_string(),
        "commit": machine::commit(),
        "machine": machine::facts(),
        "postgres": postgres,
        "scenarios": scenarios,
    })
}

/// Writes a document to a file.
pub(crate) fn write(file: &Path, document: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(Failure::software)? + "\n";
    fs::write(file, text).map_err(|error| Failure::usage(format!("cannot write {}: {error}", file.display())))
}

/// Numbers as precise as they are: JSON has no other ones than finite.
fn number(value: f64) -> Value {
    if value.abs() >= 1000.0 { json!(value.round()) } else { json!((value * 1e4).round() / 1e4) }
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
