//! Addresses with names, read strictly.
//!
//! lettre's own reading ignores what follows an address, so that of a list only the first would get the message.

use std::fmt;

use lettre::{Address, message::Mailbox};

/// As long as SMTP allows (RFC 5321, 4.5.3.1.3).
const ADDRESS_LIMIT: usize = 254;
const NAME_LIMIT: usize = 200;

/// Why a text is no mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadMailbox {
    Control,
    Address,
    NotAscii,
    Name,
}

impl fmt::Display for BadMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "must not contain line breaks or other control characters",
            Self::Address => "must be one address, as `ann@example.com` or `Ann <ann@example.com>`",
            Self::NotAscii => "must be an address in ASCII; the domain as xn--..",
            Self::Name => "has a name of more than 200 bytes",
        })
    }
}

/// `ann@example.com`, `Ann <ann@example.com>` or `"Ann, of Example" <ann@example.com>`: one address, and nothing beside it.
pub(super) fn read(text: &str) -> Result<Mailbox, BadMailbox> {
    if text.contains(char::is_control) {
        return Err(BadMailbox::Control);
    }
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (unquoted(name.trim())?, address),
        None => (String::new(), text.trim()),
    };
    if !address.is_ascii() {
        return Err(BadMailbox::NotAscii);
    }
    if address.len() > ADDRESS_LIMIT || address.contains(char::is_whitespace) {
        return Err(BadMailbox::Address);
    }
    if name.len() > NAME_LIMIT {
        return Err(BadMailbox::Name);
    }
    let address: Address = address.parse().map_err(|_| BadMailbox::Address)?;
    Ok(Mailbox::new(Some(name).filter(|name| !name.is_empty()), address))
}

/// A name in quotes may hold anything; without them, nothing that makes it look like another address.
fn unquoted(name: &str) -> Result<String, BadMailbox> {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inside) => Ok(inside.replace("\\\"", "\"").replace("\\\\", "\\")),
        None if name.contains(['<', '>', '@', '"']) => Err(BadMailbox::Address),
        None => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_read_with_its_name() {
        let parts = |text| read(text).map(|mailbox| (mailbox.name.unwrap_or_default(), mailbox.email.to_string()));
        let of = |name: &str, address: &str| Ok((name.to_owned(), address.to_owned()));
        assert_eq!(parts("ann@example.com"), of("", "ann@example.com"));
        assert_eq!(parts(" Ann <ann@example.com> "), of("Ann", "ann@example.com"));
        assert_eq!(parts("<ann@example.com>"), of("", "ann@example.com"));
        assert_eq!(parts("\"Doe, \\\"Ann\\\"\" <ann@example.com>"), of("Doe, \"Ann\"", "ann@example.com"));
        assert_eq!(parts("Änn Ünsal <ann@example.com>"), of("Änn Ünsal", "ann@example.com"));
        assert_eq!(parts("Doe, Ann <ann@example.com>"), of("Doe, Ann", "ann@example.com"));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, reason) in [
            ("", BadMailbox::Address),
            ("ann", BadMailbox::Address),
            ("ann@", BadMailbox::Address),
            ("ann@example.com, bob@example.com", BadMailbox::Address),
            ("ann@example.com bob@example.com", BadMailbox::Address),
            ("Ann <ann@example.com>, Bob <bob@example.com>", BadMailbox::Address),
            ("<ann@example.com> bob@example.com", BadMailbox::Address),
            ("<ann@example.com>>", BadMailbox::Address),
            ("ann@example.com\r\nBcc: bob@example.com", BadMailbox::Control),
            ("Ann\n <ann@example.com>", BadMailbox::Control),
            ("ann@example.com\0", BadMailbox::Control),
            ("ann@bücher.example", BadMailbox::NotAscii),
        ] {
            assert_eq!(read(text), Err(reason), "{text:?}");
        }
        assert_eq!(read(&format!("{}@example.com", "a".repeat(300))), Err(BadMailbox::Address));
        assert_eq!(read(&format!("{} <a@example.com>", "a".repeat(300))), Err(BadMailbox::Name));
    }
}
