//! A task's options, out of query parameters or out of an item of a batch.

use std::{fmt::Display, str::FromStr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use queue::{
    callbacks::{RESERVED, URL_LIMIT},
    keyed::{Unique, UniqueKey, UniqueMode},
    task::{DELAY_LIMIT, Lane, MAX_ATTEMPTS_LIMIT, Name, Options, PRIORITY_LIMIT, Start, TIMEOUT_LIMIT},
};
use url::Url;

use crate::{
    config::TaskArgs,
    problem::Problem,
    query::{Query, invalid},
};

/// The names of the options of POST /tasks; an item of a batch has no `wait`.
pub(crate) const NAMES: &[&str] = &[
    "queue",
    "kind",
    "priority",
    "delay",
    "run_at",
    "max_attempts",
    "timeout",
    "unique_key",
    "unique_mode",
    "callback_url",
    "wait",
];

/// Queue of a task that names none.
pub(crate) const DEFAULT_QUEUE: &str = "default";
/// Kind of a task that names none.
pub(crate) const DEFAULT_KIND: &str = "echo";

/// Options as given: each one read, none checked against its limits.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) queue: Option<Name>,
    pub(crate) kind: Option<Name>,
    pub(crate) priority: Option<i64>,
    pub(crate) delay: Option<Duration>,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) max_attempts: Option<i64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) unique: Option<Unique>,
    pub(crate) callback_url: Option<String>,
    /// How long the client wants to wait for the outcome; no option of the task.
    pub(crate) wait: Option<Duration>,
}

/// Which option is bad, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadOption {
    pub(crate) name: &'static str,
    pub(crate) reason: String,
}

impl From<BadOption> for Problem {
    fn from(bad: BadOption) -> Self {
        invalid(bad.name, &bad.reason)
    }
}

impl Given {
    /// Reads the query parameters of POST /tasks.
    pub(crate) fn from_query(raw: Option<&str>) -> Result<Self, Problem> {
        let query = Query::parse(raw, NAMES)?;
        let unique = unique(query.get("unique_key"), query.get("unique_mode"))?;
        Ok(Self {
            queue: query.read("queue", Name::from_str)?,
            kind: query.read("kind", Name::from_str)?,
            priority: query.read("priority", integer)?,
            delay: query.read("delay", duration)?,
            run_at: query.read("run_at", time)?,
            max_attempts: query.read("max_attempts", integer)?,
            timeout: query.read("timeout", duration)?,
            unique,
            callback_url: query.get("callback_url").map(str::to_owned),
            wait: query.read("wait", duration)?,
        })
    }

    /// Checks the limits and fills in what was not given; `unique` is left to the caller. `now` only bounds how far away `run_at` may be.
    pub(crate) fn check(self, defaults: &TaskArgs, now: DateTime<Utc>) -> Result<Options, BadOption> {
        let start = self.start(now)?;
        let priority = self.priority.unwrap_or(0);
        if self.kind.as_ref().is_some_and(|kind| kind.as_str().starts_with(RESERVED)) {
            return Err(bad("kind", format!("kinds that start with {RESERVED} are Taskrow's own")));
        }
        let max_attempts = self.max_attempts.unwrap_or(defaults.max_attempts.into());
        let timeout = self.timeout.unwrap_or(*defaults.timeout);
        if timeout < Duration::from_millis(1) || timeout > TIMEOUT_LIMIT {
            return Err(bad("timeout", "must be from 1ms to 7days"));
        }
        Ok(Options {
            lane: Lane {
                queue: self.queue.unwrap_or_else(|| name(DEFAULT_QUEUE)),
                kind: self.kind.unwrap_or_else(|| name(DEFAULT_KIND)),
            },
            priority: within("priority", priority, -PRIORITY_LIMIT, PRIORITY_LIMIT)?,
            max_attempts: within("max_attempts", max_attempts, 1, MAX_ATTEMPTS_LIMIT)?,
            timeout,
            start,
        })
    }

    /// Where the end of the task is to be told: a URL that the operator allows, as its reader writes it.
    pub(crate) fn callback_url(&self, args: &TaskArgs) -> Result<Option<Box<str>>, BadOption> {
        const OPTION: &str = "callback_url";
        let Some(text) = &self.callback_url else { return Ok(None) };
        if args.callback_urls.is_empty() {
            return Err(bad(OPTION, "this server makes no callbacks"));
        }
        let url = Url::parse(text).map_err(|_| bad(OPTION, "must be a URL such as https://example.com/hooks"))?;
        if url.as_str().len() > URL_LIMIT {
            return Err(bad(OPTION, format!("must be at most {URL_LIMIT} bytes long")));
        }
        if !args.callback_urls.iter().any(|pattern| pattern.matches(&url)) {
            return Err(bad(OPTION, "is not among those that the operator allows"));
        }
        Ok(Some(String::from(url).into_boxed_str()))
    }

    fn start(&self, now: DateTime<Utc>) -> Result<Start, BadOption> {
        match (self.delay, self.run_at) {
            (Some(_), Some(_)) => Err(bad("run_at", "cannot be given together with delay")),
            (Some(delay), None) if delay > DELAY_LIMIT => Err(bad("delay", "must be at most 366days")),
            (Some(Duration::ZERO), None) | (None, None) => Ok(Start::Now),
            (Some(delay), None) => Ok(Start::After(delay)),
            (None, Some(time)) => {
                let limit = TimeDelta::from_std(DELAY_LIMIT).unwrap_or(TimeDelta::MAX);
                // Anything in the past means at once; `Start::Now` spares Postgres dates that it cannot hold.
                match time - now {
                    wait if wait > limit => Err(bad("run_at", "must be at most 366days away")),
                    wait if wait < -limit => Ok(Start::Now),
                    _ => Ok(Start::At(time)),
                }
            }
        }
    }
}

/// Refuses a callback beside a unique key: the task that answers may be another request's, with a callback of its own or none.
pub(crate) fn one_of(callback_url: Option<&str>, unique: Option<&Unique>) -> Result<(), BadOption> {
    match (callback_url, unique) {
        (Some(_), Some(_)) => Err(bad("callback_url", "cannot be given together with unique_key")),
        _ => Ok(()),
    }
}

/// A unique key and its mode, if a key is given.
pub(crate) fn unique(key: Option<&str>, mode: Option<&str>) -> Result<Option<Unique>, BadOption> {
    let Some(key) = key else {
        return if mode.is_some() { Err(bad("unique_mode", "means nothing without unique_key")) } else { Ok(None) };
    };
    let key = UniqueKey::new(key).map_err(|reason| bad("unique_key", reason))?;
    let mode = match mode {
        None | Some("keep") => UniqueMode::Keep,
        Some("replace") => UniqueMode::Replace,
        Some(_) => return Err(bad("unique_mode", "must be keep or replace")),
    };
    Ok(Some(Unique { key, mode }))
}

/// Longer than any limit of a span, in seconds; what is over it is cut, so that the limit is what is told.
const EON_S: f64 = 1e9;

/// A span such as `90s`, `1h30m` or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const REASON: &str = "must be a span such as 90s or 1h30m, or a number of seconds";
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => {
            Duration::try_from_secs_f64(seconds.min(EON_S)).map_err(|_| REASON.to_owned())
        }
        Ok(_) => Err(REASON.to_owned()),
        Err(_) => humantime::parse_duration(text).map_err(|error| format!("{REASON} ({error})")),
    }
}

/// A time in RFC 3339.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "must be a time such as 2026-11-22T08:30:00Z (in a query, write + as %2B)")
}

fn integer(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "must be an integer")
}

fn within(name: &'static str, value: i64, least: i16, most: i16) -> Result<i16, BadOption> {
    let value = i16::try_from(value).ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| bad(name, format!("must be an integer from {least} to {most}")))
}

fn bad(name: &'static str, reason: impl Display) -> BadOption {
    BadOption { name, reason: reason.to_string() }
}

fn name(default: &'static str) -> Name {
    Name::new(default).expect("the default names are names")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        time("2026-11-22T12:00:00Z").unwrap()
    }

    fn options(query: &str) -> Result<Options, String> {
        let given = Given::from_query(Some(query)).map_err(|problem| format!("{problem:?}"))?;
        given.check(&TaskArgs::default(), now()).map_err(|bad| format!("{}: {}", bad.name, bad.reason))
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let options = options("").unwrap();
        assert_eq!((options.lane.queue.as_str(), options.lane.kind.as_str()), ("default", "echo"));
        assert_eq!((options.priority, options.max_attempts), (0, 20));
        assert_eq!((options.timeout, options.start), (Duration::from_secs(3600), Start::Now));
    }

    #[test]
    fn limits_are_inclusive() {
        let options = options("priority=-100&max_attempts=1000&timeout=7days&delay=366days&queue=a/b").unwrap();
        assert_eq!((options.priority, options.max_attempts, options.timeout), (-100, 1000, TIMEOUT_LIMIT));
        assert_eq!(options.start, Start::After(DELAY_LIMIT));
    }

    #[test]
    fn starts_are_read_in_every_form() {
        for (query, start) in [
            ("delay=90s", Start::After(Duration::from_secs(90))),
            ("delay=1h30m", Start::After(Duration::from_secs(5400))),
            ("delay=90", Start::After(Duration::from_secs(90))),
            ("delay=0.5", Start::After(Duration::from_millis(500))),
            ("delay=0", Start::Now),
            ("run_at=2026-11-22T13:00:00%2B01:00", Start::At(now())),
            ("run_at=1970-01-01T00:00:00Z", Start::Now),
        ] {
            assert_eq!(options(query).unwrap().start, start, "{query}");
        }
    }

    #[test]
    fn bad_values_name_their_option() {
        for (query, option) in [
            ("priority=101", "priority"),
            ("priority=high", "priority"),
            ("priority=99999999999999999999", "priority"),
            ("max_attempts=0", "max_attempts"),
            ("max_attempts=1001", "max_attempts"),
            ("timeout=0", "timeout"),
            ("timeout=8days", "timeout"),
            ("timeout=NaN", "timeout"),
            ("delay=-5", "delay"),
            ("delay=inf", "delay"),
            ("delay=367days", "delay"),
            ("delay=", "delay"),
            ("delay=1e300", "delay"),
            ("delay=5&run_at=2026-11-22T13:00:00Z", "run_at"),
            ("run_at=tomorrow", "run_at"),
            ("run_at=9999-01-01T00:00:00Z", "run_at"),
            ("queue=", "queue"),
            ("kind=a%20b", "kind"),
            ("unique_key=", "unique_key"),
            ("unique_key=a%00b", "unique_key"),
            ("unique_mode=keep", "unique_mode"),
            ("unique_key=a&unique_mode=both", "unique_mode"),
            ("wait=soon", "wait"),
            ("kind=taskrow.callback", "kind"),
        ] {
            assert!(options(query).unwrap_err().contains(option), "{query}");
        }
    }

    #[test]
    fn callbacks_go_where_the_operator_allows_and_nowhere_else() {
        let args = |patterns: &[&str]| {
            let callback_urls = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            TaskArgs { callback_urls, ..TaskArgs::default() }
        };
        let url = |text: &str, patterns: &[&str]| {
            let given = Given { callback_url: Some(text.to_owned()), ..Given::default() };
            given.callback_url(&args(patterns)).map_err(|bad| bad.name)
        };
        let allowed = ["https://a.example/*", "http://b.example:8080/hook"];
        for (text, stored) in [
            ("https://a.example/x?y=1", "https://a.example/x?y=1"),
            ("HTTPS://A.example:443/x y", "https://a.example/x%20y"),
            ("http://b.example:8080/hook", "http://b.example:8080/hook"),
        ] {
            assert_eq!(url(text, &allowed).unwrap().as_deref(), Some(stored), "{text}");
        }
        let long = format!("https://a.example/{}", "x".repeat(URL_LIMIT));
        for text in [
            "",
            "x",
            "https://c.example/",
            "http://a.example/",
            "https://u:p@a.example/",
            "https://a.example.c/",
            &long,
        ] {
            assert_eq!(url(text, &allowed), Err("callback_url"), "{text}");
        }
        assert_eq!(url("https://a.example/", &[]), Err("callback_url"), "there are none by default");
        assert_eq!(Given::default().callback_url(&args(&[])), Ok(None));
    }
}
