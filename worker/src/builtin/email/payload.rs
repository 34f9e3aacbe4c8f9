//! What a task of this type asks for.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};

/// The payload as clients send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    pub(super) to: Addresses,
    #[serde(default)]
    pub(super) cc: Addresses,
    /// Gets it, and is in no header.
    #[serde(default)]
    pub(super) bcc: Addresses,
    /// Only where the operator allows others than the kind's own.
    pub(super) from: Option<String>,
    pub(super) subject: String,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    #[serde(default)]
    pub(super) attachments: Vec<Attachment>,
}

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attachment {
    pub(super) filename: String,
    pub(super) content_type: String,
    pub(super) content: Content,
}

/// An address, or a list of them.
#[derive(Default)]
pub(super) struct Addresses(pub(super) Vec<String>);

/// Base64 (RFC 4648, 4) without line breaks.
pub(super) struct Content(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(OneOrMore)
    }
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address or a list of addresses")
    }

    fn visit_str<E>(self, one: &str) -> Result<Addresses, E> {
        Ok(Addresses(vec![one.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Addresses, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Addresses)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(value)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(|_| serde::de::Error::custom("content must be base64"))
    }
}
