//! Which addresses an operator allows.

use std::str::FromStr;

use lettre::Address;
use serde::{Deserialize, Deserializer, de::Error};

/// `*`: anybody; `*@example.com`: everybody there, but not below it; `ann@example.com`. Letters may be large or small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Anybody,
    Domain(String),
    Address(String),
}

impl Pattern {
    fn holds(&self, address: &Address) -> bool {
        match self {
            Self::Anybody => true,
            Self::Domain(domain) => address.domain().eq_ignore_ascii_case(domain),
            Self::Address(one) => address.to_string().eq_ignore_ascii_case(one),
        }
    }
}

/// Whether one of the patterns allows the address.
pub(super) fn allows(patterns: &[Pattern], address: &Address) -> bool {
    patterns.iter().any(|pattern| pattern.holds(address))
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is neither an address, nor `*@` and a domain, nor `*`");
        if text == "*" {
            return Ok(Self::Anybody);
        }
        // Whatever stands before it, the domain must be one.
        let probe = text.strip_prefix("*@").map_or(text.to_owned(), |domain| format!("x@{domain}"));
        let address: Address = probe.parse().map_err(|_| bad())?;
        match text.strip_prefix("*@") {
            Some(domain) => Ok(Self::Domain(domain.to_owned())),
            None if address.user().contains('*') => Err(bad()),
            None => Ok(Self::Address(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        String::deserialize(text)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_allow_what_they_say() {
        for (pattern, address, allowed) in [
            ("*", "ann@example.com", true),
            ("*@example.com", "ann@example.com", true),
            ("*@example.com", "Ann@EXAMPLE.com", true),
            ("*@example.com", "ann@sub.example.com", false),
            ("*@example.com", "ann@example.com.evil.org", false),
            ("*@example.com", "ann@evilexample.com", false),
            ("*@example.com", "\"ann@example.com\"@evil.org", false),
            ("ann@example.com", "ANN@example.com", true),
            ("ann@example.com", "bob@example.com", false),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(
                allows(std::slice::from_ref(&pattern), &address.parse().unwrap()),
                allowed,
                "{pattern:?} {address}"
            );
        }
        assert!(!allows(&[], &"ann@example.com".parse().unwrap()));
    }

    #[test]
    fn what_would_mean_something_else_than_it_looks_is_refused() {
        for text in
            ["", "example.com", "*example.com", "*@", "*@*.example.com", "a*@example.com", "**", "a b@example.com"]
        {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
