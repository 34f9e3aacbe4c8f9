//! Signatures by which a receiver knows that a request is ours, and new: Standard Webhooks 1.0 (<https://www.standardwebhooks.com>).

use std::{fmt, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::HeaderValue;
use sha2::Sha256;

use crate::builtin::secret::Secret;

/// What the specification puts before a secret.
const PREFIX: &str = "whsec_";
/// How long a secret must be, in bytes, by the specification.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// The keys that sign, the newest first. While a key is replaced both sign, and a receiver may check either.
#[derive(Clone)]
pub(super) struct SigningKeys(Vec<Hmac<Sha256>>);

impl SigningKeys {
    /// Reads files of one secret each: `whsec_` and base64. Errors name the file only.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, String> {
        let key = |file: &PathBuf| {
            let bad = |reason: &str| format!("{}: {reason}", file.display());
            let secret = Secret::read(file)?;
            let encoded = secret.reveal().strip_prefix(PREFIX).ok_or_else(|| bad("must start with whsec_"))?;
            let key = BASE64_STANDARD.decode(encoded).map_err(|_| bad("what follows whsec_ is no base64"))?;
            if !LENGTHS.contains(&key.len()) {
                return Err(bad("the key must have 24 to 64 bytes"));
            }
            Hmac::new_from_slice(&key).map_err(|error| bad(&error.to_string()))
        };
        Ok(Self(files.iter().map(key).collect::<Result<_, _>>()?))
    }

    /// The value of `webhook-signature` for a message, a signature per key; none without keys.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<HeaderValue> {
        let sign = |key: &Hmac<Sha256>| {
            let mut mac = key.clone();
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
        };
        let signatures: Vec<_> = self.0.iter().map(sign).collect();
        let value = (!signatures.is_empty()).then(|| signatures.join(" "))?;
        Some(HeaderValue::try_from(value).expect("base64 fits into a header"))
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(secrets: &[&str]) -> Result<SigningKeys, String> {
        let directory = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..secrets.len()).map(|n| directory.path().join(format!("key{n}"))).collect();
        for (file, secret) in files.iter().zip(secrets) {
            std::fs::write(file, secret).unwrap();
        }
        SigningKeys::read(&files)
    }

    /// The example of the specification's own libraries.
    #[test]
    fn a_known_message_has_its_known_signature() {
        let keys = read(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"]).unwrap();
        let signature = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs_and_no_key_signs_nothing() {
        let (one, other) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let sign = |secrets: &[&str]| {
            read(secrets).unwrap().sign("id", 1, b"{}").map(|value| value.to_str().unwrap().to_owned())
        };
        let both = format!("{} {}", sign(&[one]).unwrap(), sign(&[other]).unwrap());
        assert_eq!(sign(&[one, other]), Some(both));
        assert_eq!(sign(&[]), None);
    }

    #[test]
    fn a_bad_key_is_blamed_by_its_file_and_never_shown() {
        for (secret, reason) in [
            ("", "is empty"),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must start with whsec_"),
            ("whsec_MfKQ9r8G!!!!", "is no base64"),
            ("whsec_MfKQ9r8G", "24 to 64 bytes"),
        ] {
            let error = read(&[secret]).unwrap_err();
            assert!(error.contains("key0: ") && error.contains(reason) && !error.contains("MfKQ"), "{error}");
        }
    }
}
