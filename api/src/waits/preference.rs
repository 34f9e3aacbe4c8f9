//! How long a client wants to wait: `Prefer: wait=N` (RFC 7240), or the option `wait`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Tells the client that it was waited as it wished, and how long at most.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Longest wait. Load balancers give up on a silent connection after 60 s as a rule.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a client wants to wait, cut to the longest that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(Duration);

impl Wait {
    /// The option, if it was given, or else the preference. None: the client does not want to wait.
    pub(crate) fn asked(headers: &HeaderMap, option: Option<Duration>) -> Option<Self> {
        option.or_else(|| preferred(headers)).map(|span| Self(span.min(LONGEST)))
    }

    /// How long.
    pub(crate) fn span(self) -> Duration {
        self.0
    }

    /// `Preference-Applied`, in seconds; with decimals if the option had some.
    pub(crate) fn applied(self) -> HeaderValue {
        let text = format!("wait={}", self.0.as_secs_f64());
        HeaderValue::from_str(&text).expect("a number is a header value")
    }
}

/// The preference `wait`, in seconds. Others are ignored, as are malformed ones; of several the first one counts.
fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let lists = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = lists.flat_map(|list| split(list, ','));
    let value = preferences.find_map(|preference| {
        // What follows a semicolon are parameters; `wait` has none.
        let (name, value) = split(preference, ';').next()?.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("wait").then_some(value.trim())
    })?;
    let digits = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number too large to be one is a long time.
    is_number.then(|| Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}

/// The parts between separators that are not in a quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |letter| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match letter {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        letter == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lists: &[&'static str], option: Option<u64>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(PREFER, HeaderValue::from_static(list));
        }
        Wait::asked(&headers, option.map(Duration::from_secs)).map(|wait| wait.span().as_secs())
    }

    #[test]
    fn the_preference_is_found_among_others_and_malformed_ones_are_ignored() {
        for (lists, wait) in [
            (&[][..], None),
            (&[""], None),
            (&["wait=10"], Some(10)),
            (&["Wait = 10 "], Some(10)),
            (&["wait=\"10\""], Some(10)),
            (&["respond-async, wait=7; why=not"], Some(7)),
            (&["return=minimal; x=\"a,wait=3\", wait=4"], Some(4)),
            (&["x=\"\\\", wait=3\", wait=4"], Some(4)),
            (&["respond-async", "wait=5"], Some(5)),
            (&["wait=5", "wait=6"], Some(5)),
            (&["wait=0"], Some(0)),
            (&["wait=3600"], Some(60)),
            (&["wait=99999999999999999999999999"], Some(60)),
            (&["wait"], None),
            (&["wait="], None),
            (&["wait=-1"], None),
            (&["wait=1.5"], None),
            (&["wait=soon"], None),
            (&["waiting=5"], None),
            (&["x; wait=5"], None),
        ] {
            assert_eq!(asked(lists, None), wait, "{lists:?}");
        }
    }

    #[test]
    fn the_option_wins_and_both_are_cut() {
        assert_eq!(asked(&["wait=10"], Some(3)), Some(3));
        assert_eq!(asked(&[], Some(61)), Some(60));
    }

    #[test]
    fn what_is_applied_is_told_in_seconds() {
        for (span, text) in [(0, "wait=0"), (500, "wait=0.5"), (10_000, "wait=10"), (90_000, "wait=60")] {
            let wait = Wait::asked(&HeaderMap::new(), Some(Duration::from_millis(span))).unwrap();
            assert_eq!(wait.applied(), text);
        }
    }
}
