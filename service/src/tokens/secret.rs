//! What a client sends.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};

use crate::exit::Failure;

/// How every secret begins, so that scanners of repositories and logs know one when they see it.
pub(super) const PREFIX: &str = "taskrow_";
/// Random bytes of a secret.
const BYTES: usize = 32;
/// The same as characters.
const CHARACTERS: usize = 43;

/// What is stored of a secret.
pub(super) type Digest = [u8; 32];

/// A secret. Never shown but by [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one, from the system's source of randomness.
    pub fn random() -> Result<Self, Failure> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| Failure::software(format!("no random bytes: {error}")))?;
        Ok(Self(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))))
    }

    /// Reads one. None: it has not the form of one, so it was not made here and may be easy to guess.
    pub fn parse(text: &str) -> Option<Self> {
        let random = text.strip_prefix(PREFIX)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (random.len() == CHARACTERS && random.bytes().all(is_plain)).then(|| Self(text.to_owned()))
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the list holds of it, as it is written there.
    pub fn sha256(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.digest())
    }

    pub(super) fn digest(&self) -> Digest {
        Sha256::digest(&self.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_read_back() {
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(Secret::parse(one.reveal()), Some(one.clone()));
        assert!(!format!("{one:?}").contains(&one.reveal()[PREFIX.len()..]));
    }

    #[test]
    fn the_digest_is_what_sha256sum_says() {
        let secret = Secret::parse("taskrow_0123456789012345678901234567890123456789012").unwrap();
        // printf %s taskrow_0123456789012345678901234567890123456789012 | sha256sum
        assert_eq!(secret.sha256(), "d3547541314a5af6884d40a18ab995b66c4586213e561ee4e1f8220044bb1564");
    }

    #[test]
    fn what_has_another_form_is_no_secret() {
        let good = "taskrow_0123456789012345678901234567890123456789012";
        assert!(Secret::parse(good).is_some());
        for bad in ["", "hunter2", "taskrow_", &good[1..], &good[..50], &format!("{good}x"), &good.replace('9', "+")] {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
    }
}
