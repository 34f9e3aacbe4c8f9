//! Headers that the operator adds to requests, secret ones among them.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::builtin::secret::Secret;

/// What a request's delivery needs for itself.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "taskrow-attempt",
    "taskrow-task-id",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];
/// Shorter parts of a secret are words like `Basic`.
const SHORTEST_SECRET: usize = 8;
const REDACTED: &str = "[secret]";

/// The operator's headers, and what of them must never be shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    all: HeaderMap,
    secrets: Vec<Secret>,
}

impl Headers {
    /// Checks headers, and reads the secret ones from their files. Errors name the field and never a value.
    pub(super) fn read(open: &BTreeMap<String, String>, secret: &BTreeMap<String, PathBuf>) -> Result<Self, String> {
        let mut headers = Self::default();
        for (name, value) in open {
            let bad = |reason: &str| format!("headers: {name:?} {reason}");
            let value = HeaderValue::try_from(value).map_err(|_| bad("has a value that does not fit into a header"))?;
            headers.add(name, value).map_err(|reason| bad(&reason))?;
        }
        for (name, file) in secret {
            let bad = |reason: &str| format!("secret_headers: {name:?} {reason}");
            let secret = Secret::read(file).map_err(|error| format!("secret_headers: {error}"))?;
            let value = HeaderValue::try_from(secret.reveal());
            let mut value = value.map_err(|_| bad("has a value that does not fit into a header"))?;
            value.set_sensitive(true);
            headers.add(name, value).map_err(|reason| bad(&reason))?;
            headers.secrets.push(secret);
        }
        Ok(headers)
    }

    fn add(&mut self, name: &str, value: HeaderValue) -> Result<(), String> {
        let name = HeaderName::try_from(name).map_err(|_| "is no name of a header")?;
        if OURS.contains(&name.as_str()) {
            return Err("is set by the worker itself".to_owned());
        }
        match self.all.insert(name, value) {
            Some(_) => Err("is there twice".to_owned()),
            None => Ok(()),
        }
    }

    /// Puts them into a request's.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        headers.extend(self.all.clone());
    }

    /// Takes the secrets out of a text that came from outside: receivers may answer with the headers they got.
    pub(super) fn redact(&self, mut text: String) -> String {
        for form in self.secret_forms() {
            if text.contains(form.as_ref()) {
                text = text.replace(form.as_ref(), REDACTED);
            }
        }
        text
    }

    /// Length of the longest secret, in bytes: so much more of a text must be known to redact a beginning of it.
    pub(super) fn longest_secret(&self) -> usize {
        self.secret_forms().map(|form| form.len()).max().unwrap_or_default()
    }

    /// Secrets as they were sent, and as JSON writes them, with and without a backslash before each slash.
    fn secret_forms(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.secret_words().flat_map(|word| {
            let quoted = serde_json::to_string(word).unwrap_or_default();
            let escaped = quoted.trim_matches('"').to_owned();
            let slashes = escaped.replace('/', r"\/");
            [Cow::Borrowed(word), Cow::Owned(escaped), Cow::Owned(slashes)].into_iter().filter(|form| !form.is_empty())
        })
    }

    /// `Bearer abc..` is a secret as far as `abc..` is.
    fn secret_words(&self) -> impl Iterator<Item = &str> {
        let words = self.secrets.iter().flat_map(|secret| secret.reveal().split_whitespace());
        words.filter(|word| word.len() >= SHORTEST_SECRET)
    }
}
