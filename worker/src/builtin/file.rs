//! The operator's file of kinds: what each is and how it is run.
//!
//! ```toml
//! [kinds.shout]
//! type = "command"
//! program = "/usr/bin/tr"
//! arguments = ["a-z", "A-Z"]
//! ```

use std::{collections::BTreeMap, path::Path};

use queue::{
    callbacks::{KIND as CALLBACK_KIND, RESERVED},
    task::Name,
};
use serde::Deserialize;
use service::exit::Failure;
use toml::{Table, Value};

use super::{
    command::CommandKind,
    email::EmailKind,
    http::{CallbacksConfig, HttpConfig},
};
use crate::Builder;

/// A file whose kinds and fields are known. What they say is checked when they are registered.
#[derive(Debug)]
pub struct HandlersFile {
    kinds: BTreeMap<Name, Kind>,
    callbacks: Option<CallbacksConfig>,
}

/// The file before its kinds are told apart. (Serde can do both at once, but then errors do not name the field.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    kinds: BTreeMap<Name, Table>,
    callbacks: Option<Table>,
}

/// What runs the tasks of a kind: its `type`, in lower case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Command(Box<CommandKind>),
    Email(Box<EmailKind>),
    Http(Box<HttpConfig>),
}

impl HandlersFile {
    /// Reads a file. What is wrong with it is said in one line, with the place.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bad = |reason: &dyn std::fmt::Display| Failure::usage(format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
        let Text { kinds, callbacks } = toml::from_str(&text).map_err(|error| bad(&error))?;
        let kind = |(name, table)| match kind(table) {
            Ok(kind) => Ok((name, kind)),
            Err(reason) => Err(bad(&format_args!("kinds.{name}: {reason}"))),
        };
        let callbacks = callbacks.map(|table| Value::Table(table).try_into()).transpose();
        Ok(Self {
            kinds: kinds.into_iter().map(kind).collect::<Result<_, _>>()?,
            callbacks: callbacks.map_err(|error| bad(&format_args!("callbacks: {error}")))?,
        })
    }

    /// Registers its kinds. What is wrong with one is said in one line, with its name and the field's.
    pub fn register(self, builder: Builder) -> Result<Builder, Failure> {
        let bad = |place: &str, reason: &str| Failure::usage(format!("WORKER_HANDLERS: {place}.{reason}"));
        let mut builder = self.kinds.into_iter().try_fold(builder, |builder, (name, kind)| {
            if name.as_str().starts_with(RESERVED) {
                let reason =
                    format!("WORKER_HANDLERS: kinds.{name}: names that start with {RESERVED} are Taskrow's own");
                return Err(Failure::usage(reason));
            }
            let registered = match kind {
                Kind::Command(config) => config.handler().map(|handler| builder.handler(name.as_str(), handler)),
                Kind::Email(config) => config.handler().map(|handler| builder.handler(name.as_str(), handler)),
                Kind::Http(config) => config.handler().map(|handler| builder.handler(name.as_str(), handler)),
            };
            registered.map_err(|reason| bad(&format!("kinds.{name}"), &reason))
        })?;
        if let Some(config) = self.callbacks {
            builder = builder.handler(CALLBACK_KIND, config.handler().map_err(|reason| bad("callbacks", &reason))?);
        }
        Ok(builder)
    }
}

fn kind(mut table: Table) -> Result<Kind, String> {
    match table.remove("type") {
        Some(Value::String(name)) => {
            let kind = Value::Table(Table::from_iter([(name, table.into())]));
            kind.try_into().map_err(|error: toml::de::Error| error.to_string())
        }
        _ => Err("type: must be there, as a text".to_owned()),
    }
}
