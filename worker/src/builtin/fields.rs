//! Fields of the operator's file that TOML has no type for.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// A duration as everywhere: `30s`, `1h 30m`.
pub(super) fn duration<'de, D: Deserializer<'de>>(text: D) -> Result<Duration, D::Error> {
    humantime::parse_duration(&String::deserialize(text)?).map_err(D::Error::custom)
}

/// The same, where it may be left out.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Duration>, D::Error> {
    duration(text).map(Some)
}
