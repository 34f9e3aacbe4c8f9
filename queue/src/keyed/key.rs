//! What clients name their tasks and requests.

use std::{sync::Arc, time::Duration};

/// Longest key, in characters.
pub const KEY_LIMIT: usize = 255;
/// The scope of everybody's idempotency keys where clients have no names.
pub const GLOBAL_SCOPE: &str = "global";

/// Names the one open task of its queue and kind: 1 to 255 characters, none of them a control character. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueKey(Arc<str>);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 1 to {KEY_LIMIT} characters, none of them a control character")]
pub struct BadKey;

impl UniqueKey {
    /// Checks a key.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, BadKey> {
        let text = text.into();
        let fits = (1..=KEY_LIMIT).contains(&text.chars().count());
        if fits && !text.contains(char::is_control) { Ok(Self(text)) } else { Err(BadKey) }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What becomes of a task whose unique key is held by an open one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UniqueMode {
    /// Nothing: the open task is the answer.
    #[default]
    Keep,
    /// If the open task waits (queued or scheduled), it gets the new payload and start. If it runs, as `Keep`.
    Replace,
}

/// A unique key, and what to do when it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: UniqueKey,
    /// When it is held.
    pub mode: UniqueMode,
}

/// Makes a request one that is stored once, however often it comes.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Whose key it is: a client's, or [`GLOBAL_SCOPE`].
    pub scope: String,
    /// As the client sent it.
    pub key: String,
    /// A hash of all that was sent: tells another request under the same key.
    pub fingerprint: [u8; 32],
    /// How long the key is remembered.
    pub ttl: Duration,
}
