//! One entry of the list: a client, and what it may do.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use super::{Scope, Scopes, Secret};

/// Longest name of a token, and of a queue.
const NAME_LIMIT: usize = 64;

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What logs and operators call it. Entries of one name are one client: one that is changing its secret.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Scopes,
    /// The only queues it may see and use; none: all.
    pub queues: Option<BTreeSet<String>>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadEntry(pub(super) String);

impl Token {
    /// Checks a client.
    pub fn new(name: String, scopes: &[Scope], queues: Option<Vec<String>>) -> Result<Self, BadEntry> {
        check("name", &name)?;
        if scopes.is_empty() {
            return Err(BadEntry("scopes: must name one at least".to_owned()));
        }
        let queues: Option<BTreeSet<String>> = queues.map(|queues| queues.into_iter().collect());
        match &queues {
            Some(queues) if queues.is_empty() => {
                return Err(BadEntry("queues: must name one at least; without the field all are allowed".to_owned()));
            }
            Some(queues) => queues.iter().try_for_each(|queue| check("queues", queue))?,
            None => {}
        }
        Ok(Self { name: name.into(), scopes: scopes.iter().copied().collect(), queues })
    }

    /// Whether it may see and use a queue.
    pub fn reaches(&self, queue: &str) -> bool {
        self.queues.as_ref().is_none_or(|queues| queues.contains(queue))
    }
}

/// The entry for a new client, as the list has it.
pub fn entry(token: &Token, secret: &Secret) -> String {
    let quoted =
        |names: &mut dyn Iterator<Item = &str>| names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let mut scopes = Scope::ALL.into_iter().filter(|scope| token.scopes.names(*scope)).map(Scope::as_str);
    let mut text = format!(
        "[[token]]\nname = \"{}\"\nsha256 = \"{}\"\nscopes = [{}]\n",
        token.name,
        secret.sha256(),
        quoted(&mut scopes)
    );
    if let Some(queues) = &token.queues {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "queues = [{}]", quoted(&mut queues.iter().map(String::as_str)));
    }
    text
}

/// Names of tokens and queues: what needs no quoting anywhere.
fn check(field: &str, name: &str) -> Result<(), BadEntry> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
    if (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(is_plain) {
        Ok(())
    } else {
        Err(BadEntry(format!("{field}: a name is 1 to {NAME_LIMIT} of A-Z a-z 0-9 . _ - : /")))
    }
}
