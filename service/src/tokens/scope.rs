//! What a token may be used for.

use std::{fmt, str::FromStr};

use serde::Deserialize;

/// A group of operations. `api/src/access/operations.rs` says which operation is in which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To submit tasks.
    Submit,
    /// To read tasks, queues, workers and metrics.
    Read,
    /// To run tasks over HTTP.
    Work,
    /// To change what is there: cancel, retry, pause. Holds all others.
    Admin,
}

/// Some scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Submit, Self::Read, Self::Work, Self::Admin];

    /// As files and answers write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Work => "work",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or("a scope is submit, read, work or admin")
    }
}

impl Scopes {
    /// Whether an operation of this scope is allowed.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether it is one of them itself.
    pub const fn names(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_holds_all_and_every_other_scope_only_itself() {
        for held in Scope::ALL {
            let scopes = Scopes::from_iter([held]);
            for wanted in Scope::ALL {
                assert_eq!(scopes.allow(wanted), held == wanted || held == Scope::Admin, "{held} for {wanted}");
            }
        }
        assert!(Scope::ALL.iter().all(|scope| !Scopes::default().allow(*scope)));
    }

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("Admin".parse::<Scope>().is_err() && "".parse::<Scope>().is_err());
    }
}
