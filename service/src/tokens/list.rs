//! The list of tokens: its text (TOML), and what presented secrets are compared with.
//!
//! ```toml
//! [[token]]
//! name = "ci"
//! sha256 = "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918"
//! scopes = ["submit", "read"]
//! queues = ["mail"]             # left out: all
//! ```

use std::{collections::HashSet, fmt, sync::Arc};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::{
    BadEntry, Scope, Secret, Token,
    secret::{Digest, PREFIX},
};

/// Most tokens: each request is compared with all of them.
const LIMIT: usize = 1000;

/// Tokens by the digests of their secrets.
pub(super) struct List {
    entries: Vec<(Digest, Arc<Token>)>,
}

/// Why a text is no list. Quotes nothing that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadList {
    #[error("{0}")]
    Text(String),
    #[error("token {number}: {reason}")]
    Entry { number: usize, reason: BadEntry },
    #[error("holds no token; nobody could do anything")]
    Empty,
    #[error("holds more than {LIMIT} tokens")]
    TooMany,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    scopes: Vec<Scope>,
    queues: Option<Vec<String>>,
}

impl List {
    /// Reads a list: all of it, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, BadList> {
        let Text { token: given } = toml::from_str(text).map_err(|error| bad_text(text, &error))?;
        match given.len() {
            0 => return Err(BadList::Empty),
            count if count > LIMIT => return Err(BadList::TooMany),
            _ => {}
        }
        let mut seen = HashSet::new();
        let mut entries = Vec::with_capacity(given.len());
        for (index, entry) in given.into_iter().enumerate() {
            let bad = |reason| BadList::Entry { number: index + 1, reason };
            let digest = digest(&entry.sha256).map_err(bad)?;
            if !seen.insert(digest) {
                return Err(bad(BadEntry("sha256: an earlier token has the same".to_owned())));
            }
            let token = Token::new(entry.name, &entry.scopes, entry.queues).map_err(bad)?;
            entries.push((digest, Arc::new(token)));
        }
        Ok(Self { entries })
    }

    /// Whose secret it is. All are compared, each in constant time: how long it takes tells nothing about what is in the list.
    pub(super) fn find(&self, secret: &Secret) -> Option<Arc<Token>> {
        let presented = secret.digest();
        let mut found = None;
        for (digest, token) in &self.entries {
            if bool::from(digest.ct_eq(&presented)) {
                found = Some(token);
            }
        }
        found.cloned()
    }

    /// Whether nothing differs. (Not for secrets of clients: it stops at the first difference.)
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.entries == other.entries
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("len", &self.entries.len()).finish()
    }
}

fn digest(text: &str) -> Result<Digest, BadEntry> {
    if text.starts_with(PREFIX) {
        return Err(BadEntry(
            "sha256: is a secret itself, not its SHA-256; make a new one, this one was shown".to_owned(),
        ));
    }
    let digest = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| Digest::try_from(bytes).ok());
    digest.ok_or_else(|| BadEntry("sha256: must be 64 hexadecimal digits".to_owned()))
}

/// The library's own words would quote the line, which may hold a secret in a wrong place.
fn bad_text(text: &str, error: &toml::de::Error) -> BadList {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let message = error.message();
    let message = if message.contains(PREFIX) { "a secret where none belongs" } else { message };
    BadList::Text(format!("line {line}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::random().unwrap()
    }

    fn entry(name: &str, secret: &Secret, rest: &str) -> String {
        format!("[[token]]\nname = \"{name}\"\nsha256 = \"{}\"\n{rest}\n", secret.sha256())
    }

    #[test]
    fn each_secret_leads_to_its_own_token_and_others_to_none() {
        let (first, last) = (secret(), secret());
        let text =
            entry("a", &first, "scopes = ['read']") + &entry("b", &last, "scopes = ['admin']\nqueues = ['mail']");
        let list = List::parse(&text).unwrap();
        let (a, b) = (list.find(&first).unwrap(), list.find(&last).unwrap());
        assert_eq!((&*a.name, &*b.name), ("a", "b"));
        assert!(a.reaches("x") && b.reaches("mail") && !b.reaches("x"));
        assert!(list.find(&secret()).is_none());
        let upper = text.replace(&first.sha256(), &first.sha256().to_uppercase());
        assert!(List::parse(&upper).unwrap().find(&first).is_some());
    }

    #[test]
    fn a_client_that_changes_its_secret_has_two_for_a_while() {
        let (old, new) = (secret(), secret());
        let text = entry("ci", &old, "scopes = ['submit']") + &entry("ci", &new, "scopes = ['submit']");
        let list = List::parse(&text).unwrap();
        assert_eq!(list.find(&old), list.find(&new));
        assert!(list.find(&old).is_some());
    }

    #[test]
    fn an_entry_that_was_made_is_read_back() {
        let secret = secret();
        let queues = Some(vec!["mail".to_owned(), "a/b".to_owned()]);
        let token = Token::new("ci".to_owned(), &[Scope::Submit, Scope::Admin], queues).unwrap();
        let list = List::parse(&super::super::entry(&token, &secret)).unwrap();
        assert_eq!(*list.find(&secret).unwrap(), token);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_without_secrets() {
        let secret = secret();
        let good = entry("a", &secret, "scopes = ['read']");
        let sha256 = secret.sha256();
        for (text, reason) in [
            (String::new(), "holds no token"),
            ("tokens = 1".to_owned(), "line 1: unknown field `tokens`"),
            (good.clone() + "[[token]]\nname = 'b'", "line 5: missing field `sha256`"),
            (good.replace("read", "write"), "line 4: unknown variant `write`"),
            (good.replace("['read']", "[]"), "token 1: scopes: must name one"),
            (good.clone() + "queues = []", "token 1: queues: must name one"),
            (good.clone() + "queues = ['a b']", "token 1: queues: a name is 1 to 64"),
            (good.replace("\"a\"", "\"\""), "token 1: name: a name is 1 to 64"),
            (good.replace(&sha256, "abc"), "token 1: sha256: must be 64 hexadecimal digits"),
            (good.replace(&sha256, secret.reveal()), "token 1: sha256: is a secret itself"),
            (good.replace("['read']", &format!("'{}'", secret.reveal())), "line 4: a secret where none belongs"),
            (good.clone() + &format!("secret = '{}'", secret.reveal()), "line 5: unknown field `secret`"),
            (good.repeat(2), "token 2: sha256: an earlier token has the same"),
            (good.clone() + "nonsense", "line 5: "),
        ] {
            let error = List::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
            assert!(!error.contains(&secret.reveal()[PREFIX.len()..]), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_list_has_a_limit() {
        let text = |count: usize| (0..count).map(|_| entry("a", &secret(), "scopes = ['read']")).collect::<String>();
        assert!(List::parse(&text(LIMIT)).is_ok());
        assert_eq!(List::parse(&text(LIMIT + 1)).unwrap_err(), BadList::TooMany);
    }
}
