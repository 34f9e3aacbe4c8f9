//! Where a task's request goes, and with which body.

use serde::Deserialize;
use serde_json::value::RawValue;
use service::url_pattern::UrlPattern;
use tracing::warn;
use url::Url;

use crate::{Context, TaskError};

/// Who says where requests go.
#[derive(Debug)]
pub(super) enum Target {
    /// The operator. The payload is the body.
    Fixed(Url),
    /// The client, within these patterns. The payload is `{"url": .., "body": ..}`.
    Named(Vec<UrlPattern>),
    /// The api, on behalf of a client, within these patterns. The payload is `{"url": .., "event": ..}`.
    Callback(Vec<UrlPattern>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    url: String,
    body: Option<Box<RawValue>>,
}

/// Fields that a later api may add are not ours to refuse.
#[derive(Deserialize)]
struct Callback {
    url: String,
    event: Box<RawValue>,
}

impl Target {
    /// Where this task goes, and its body as JSON text, byte for byte as it came.
    pub(super) fn of(&self, task: &Context) -> Result<(Url, String), TaskError> {
        match self {
            Self::Fixed(url) => Ok((url.clone(), task.payload().get().to_owned())),
            Self::Named(allowed) => {
                let Named { url, body } = task.parse()?;
                Ok((named(task, &url, allowed)?, body.map(text).unwrap_or_default()))
            }
            Self::Callback(allowed) => {
                let Callback { url, event } = task.parse()?;
                Ok((named(task, &url, allowed)?, text(event)))
            }
        }
    }

    /// Whether a redirect may lead there. Only who could have named it may be sent there.
    pub(super) fn permits(&self, url: &Url) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Named(allowed) | Self::Callback(allowed) => is_allowed(url, allowed),
        }
    }
}

/// Fails a task whose client tried to have a worker talk to what they may not choose. That is worth a line; it names no URL.
pub(super) fn refuse(task: &Context, reason: &str) -> TaskError {
    warn!(task.id = %task.id(), kind = task.kind(), attempt = task.attempt(), reason, "not sent");
    TaskError::fatal(reason)
}

fn named(task: &Context, url: &str, allowed: &[UrlPattern]) -> Result<Url, TaskError> {
    let url = Url::parse(url).map_err(|error| TaskError::fatal(format!("payload: url: {error}")))?;
    match is_allowed(&url, allowed) {
        true => Ok(url),
        false => Err(refuse(task, "payload: url: is not one that the operator allows")),
    }
}

fn is_allowed(url: &Url, allowed: &[UrlPattern]) -> bool {
    allowed.iter().any(|pattern| pattern.matches(url))
}

fn text(json: Box<RawValue>) -> String {
    Box::<str>::from(json).into_string()
}
