//! The operator's file of kinds: what each is and how it is run.
//!
//! ```toml
//! [kinds.shout]
//! type = "command"
//! program = "/usr/bin/tr"
//! arguments = ["a-z", "A-Z"]
//! ```

use std::{collections::BTreeMap, path::Path};

use queue::task::Name;
use serde::Deserialize;
use service::exit::Failure;

use crate::Builder;

/// A checked file: every kind of it can be run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandlersFile {
    #[serde(default)]
    kinds: BTreeMap<Name, Kind>,
}

/// What runs the tasks of a kind.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Kind {}

impl HandlersFile {
    /// Reads a file. What is wrong with it is said in one line, with the place.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bad = |reason: &dyn std::fmt::Display| Failure::usage(format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
        toml::from_str(&text).map_err(|error| bad(&error))
    }

    /// Registers its kinds.
    pub fn register(self, builder: Builder) -> Result<Builder, Failure> {
        self.kinds.into_iter().try_fold(builder, |_, (_, kind)| match kind {})
    }
}
