//! Names of roles, as they may stand in a statement.

use std::{fmt, str::FromStr};

/// Longest name, in bytes; Postgres cuts longer ones.
const LIMIT: usize = 63;

/// The name of a role. Printed as SQL has it, in double quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleName(String);

/// Why a text names no role.
#[derive(Debug, thiserror::Error)]
#[error("a role's name has 1 to {LIMIT} bytes, none of them a control character, and does not begin with pg_")]
pub struct BadName;

impl RoleName {
    /// Without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let is_good = (1..=LIMIT).contains(&text.len()) && !text.contains(char::is_control) && !text.starts_with("pg_");
        is_good.then(|| Self(text.to_owned())).ok_or(BadName)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_whatever_it_holds() {
        let name = |text: &str| text.parse::<RoleName>().map(|name| name.to_string());
        assert_eq!(name("taskrow_api").unwrap(), "\"taskrow_api\"");
        assert_eq!(name("a\"; DROP ROLE b; --").unwrap(), "\"a\"\"; DROP ROLE b; --\"");
        for bad in ["", "a\0b", "a\nb", "pg_monitor", &"x".repeat(64)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
