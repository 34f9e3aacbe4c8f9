//! Query parameters, strictly: an option that is unknown or given twice is an error, not a surprise.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::problem::{Kind, Problem};

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pairs: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads `name=value` pairs out of the part of a URI behind the question mark. Only `known` names may come, once each.
    pub(crate) fn parse(raw: Option<&'a str>, known: &[&'static str]) -> Result<Self, Problem> {
        let raw = raw.unwrap_or_default();
        if percent_decode_str(raw).decode_utf8().is_err() {
            return Err(Problem::new(Kind::InvalidOption, "the query is not UTF-8"));
        }
        let mut pairs: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            let Some(known) = known.iter().find(|known| **known == name) else {
                let detail = match known {
                    [] => "takes no options".to_owned(),
                    _ => format!("unknown; there are {}", known.join(", ")),
                };
                return Err(invalid(&name, &detail));
            };
            if pairs.iter().any(|(before, _)| before == known) {
                return Err(invalid(known, "given twice"));
            }
            pairs.push((known, value));
        }
        Ok(Self { pairs })
    }

    /// The value of an option.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_ref())
    }

    /// The value of an option, read by `read`; its error is the reason the client is given.
    pub(crate) fn read<T, E: std::fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        self.get(name).map(read).transpose().map_err(|reason| invalid(name, &reason.to_string()))
    }
}

/// A 422 that names the option.
pub(crate) fn invalid(option: &str, reason: &str) -> Problem {
    // The name comes from the client: it must not make the answer as long as the request.
    let option: String = option.chars().take(64).collect();
    Problem::new(Kind::InvalidOption, format!("{option}: {reason}")).with("option", option)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["queue", "kind"];

    #[test]
    fn values_are_decoded() {
        let query = Query::parse(Some("queue=a%2Fb&kind=x+y"), KNOWN).unwrap();
        assert_eq!(query.get("queue"), Some("a/b"));
        assert_eq!(query.get("kind"), Some("x y"));
        for empty in [None, Some(""), Some("&")] {
            assert_eq!(Query::parse(empty, KNOWN).unwrap().get("queue"), None);
        }
        assert_eq!(Query::parse(Some("queue"), KNOWN).unwrap().get("queue"), Some(""));
    }

    #[test]
    fn unknown_and_doubled_options_are_refused() {
        for raw in ["colour=red", "queue=a&queue=a", "queue=%ff", "Queue=a", "=a"] {
            let problem = Query::parse(Some(raw), KNOWN).unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidOption, "{raw}");
        }
    }
}
