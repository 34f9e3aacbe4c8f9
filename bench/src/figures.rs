//! What one run measured, and what it should have.

use std::collections::BTreeMap;

use serde::Serialize;

/// Numbers by name, in the order in which they were noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    values: Vec<(String, f64)>,
    /// Points of lines to plot.
    pub(crate) curves: BTreeMap<String, Vec<(f64, f64)>>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) figure: &'static str,
    pub(crate) bound: Bound,
}

/// Inclusive.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The figure should be so much or more.
pub(crate) const fn at_least(figure: &'static str, value: f64) -> Target {
    Target { figure, bound: Bound::AtLeast(value) }
}

/// The figure should be so much or less.
pub(crate) const fn at_most(figure: &'static str, value: f64) -> Target {
    Target { figure, bound: Bound::AtMost(value) }
}

impl Figures {
    /// Notes a figure. A name is noted once.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.values.push((name.into(), value));
    }

    /// Notes all of another run under names that start with `prefix`.
    pub(crate) fn extend(&mut self, prefix: &str, other: Figures) {
        self.values.extend(other.values.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
        self.curves.extend(other.curves.into_iter().map(|(name, points)| (format!("{prefix}{name}"), points)));
    }

    /// A figure noted before; not a number if there is none.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.values.iter().find(|(known, _)| known == name).map_or(f64::NAN, |(_, value)| *value)
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str())
    }
}

impl Bound {
    /// A figure that was not measured is not within.
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

/// The value below which a share of the values lies; not a number if there are none.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    percentile(&mut values, 0.5)
}
