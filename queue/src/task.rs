//! What is submitted, and the limits of it.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::json::Json;

/// Longest name of a queue or a kind, in bytes.
pub const NAME_LIMIT: usize = 64;
/// Priorities lie in `-PRIORITY_LIMIT..=PRIORITY_LIMIT`; higher runs first.
pub const PRIORITY_LIMIT: i16 = 100;
/// Most attempts a task may be given.
pub const MAX_ATTEMPTS_LIMIT: i16 = 1000;
/// Attempts of a task that does not say. With the worker's default retry schedule its waits add up to five hours on average.
pub const DEFAULT_MAX_ATTEMPTS: i16 = 20;
/// Longest run of one attempt that may be asked for.
pub const TIMEOUT_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest run of one attempt of a task that does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
/// Furthest in the future a task may be scheduled.
pub const DELAY_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);
/// Longest error text that is kept, in bytes; what is over is cut.
pub const ERROR_LIMIT: usize = 8 * 1024;

/// A queue and a kind: what a claim scans. Tasks of one batch share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The queue.
    pub queue: Name,
    /// The handler's name.
    pub kind: Name,
}

/// The name of a queue or a kind: 1 to 64 of `A-Z a-z 0-9 . _ - : /`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {NAME_LIMIT} characters out of A-Z a-z 0-9 . _ - : /")]
pub struct BadName;

impl Name {
    /// Checks a name.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, BadName> {
        let text = text.into();
        let fits = (1..=NAME_LIMIT).contains(&text.len());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte));
        if fits && plain { Ok(Self(text)) } else { Err(BadName) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::new(text)
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a task may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Start {
    /// At once.
    #[default]
    Now,
    /// So long after the database stored it.
    After(Duration),
    /// At a time by the database's clock; a past one means at once.
    At(DateTime<Utc>),
}

/// Everything about a task but its payload. Tasks that share all of it can share a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Queue and kind.
    pub lane: Lane,
    /// -100..=100, higher first.
    pub priority: i16,
    /// 1..=[`MAX_ATTEMPTS_LIMIT`].
    pub max_attempts: i16,
    /// Longest run of one attempt, at most [`TIMEOUT_LIMIT`].
    pub timeout: Duration,
    /// When it may start.
    pub start: Start,
}

/// A task to submit.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Everything but the payload.
    pub options: Options,
    /// What the handler gets.
    pub payload: Json,
    /// Where to tell that it has ended; see [`crate::callbacks`].
    pub callback_url: Option<Box<str>>,
}

/// Where a task stands, as the outside sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for a worker.
    Queued,
    /// Waits for its time, or for its next attempt.
    Scheduled,
    /// A worker holds it.
    Processing,
    /// Final: it has a result.
    Done,
    /// Final: out of attempts, or failed for good.
    Failed,
    /// Final: cancelled.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Scheduled, Self::Processing, Self::Done, Self::Failed, Self::Cancelled];

    /// The name users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Scheduled => "scheduled",
            Self::Processing => "processing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it is an outcome.
    pub const fn is_final(self) -> bool {
        self.outcome_code().is_some()
    }

    /// The state behind `taskrow.outcomes.status`.
    pub(crate) const fn of_outcome(code: i16) -> Self {
        match code {
            1 => Self::Done,
            2 => Self::Failed,
            _ => Self::Cancelled,
        }
    }

    /// `taskrow.outcomes.status`.
    pub(crate) const fn outcome_code(self) -> Option<i16> {
        match self {
            Self::Done => Some(1),
            Self::Failed => Some(2),
            Self::Cancelled => Some(3),
            _ => None,
        }
    }
}

impl std::str::FromStr for Status {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// An error text cut to [`ERROR_LIMIT`] at a character, with NUL characters (which Postgres refuses) replaced.
pub fn bounded_error(text: &str) -> String {
    let mut end = text.len().min(ERROR_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}
