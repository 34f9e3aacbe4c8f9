//! JSON that Postgres can hold.
//!
//! `jsonb` refuses `\u0000`, lone surrogates, numbers beyond `numeric` and very deep nesting. One such value would fail the whole
//! statement it travels in, and with it its neighbours', so every payload and result passes this door first. The text is
//! then stored as it is.

use serde::Serialize;
use serde_json::value::RawValue;

/// Deepest nesting accepted.
pub const DEPTH_LIMIT: usize = 128;
/// Most digits before the decimal point that `numeric` holds.
/// Source: <https://www.postgresql.org/docs/current/datatype-numeric.html>.
const INTEGER_DIGITS_LIMIT: i64 = 131_072;
/// Most digits after it. Same source.
const FRACTION_DIGITS_LIMIT: i64 = 16_383;

/// A JSON text that passed the door.
#[derive(Clone, Debug)]
pub struct Json(Box<RawValue>);

/// Why a text did not.
#[derive(Debug, thiserror::Error)]
pub enum BadJson {
    /// Not JSON at all.
    #[error("{0}")]
    Malformed(String),
    /// Valid JSON that Postgres cannot hold.
    #[error(transparent)]
    Unstorable(#[from] Unstorable),
}

/// What Postgres cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unstorable {
    /// More than [`DEPTH_LIMIT`] levels.
    #[error("nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep,
    /// `\u0000` in a string.
    #[error("a string holds \\u0000, which Postgres cannot store")]
    NulCharacter,
    /// Half of a surrogate pair in a string.
    #[error("a string holds half of a surrogate pair, which is no character")]
    LoneSurrogate,
    /// A number out of range.
    #[error("a number has more digits than Postgres can store")]
    NumberTooLong,
}

impl Json {
    /// Checks a JSON text; white space around it is dropped.
    pub fn parse(text: &[u8]) -> Result<Self, BadJson> {
        let value: Box<RawValue> =
            serde_json::from_slice(text).map_err(|error| BadJson::Malformed(error.to_string()))?;
        Ok(Self::check(value)?)
    }

    /// Checks a text that is known to be JSON.
    pub fn check(value: Box<RawValue>) -> Result<Self, Unstorable> {
        check_storable(value.get())?;
        Ok(Self(value))
    }

    /// Turns a value into JSON.
    pub fn from_value(value: &impl Serialize) -> Result<Self, BadJson> {
        let value = serde_json::value::to_raw_value(value).map_err(|error| BadJson::Malformed(error.to_string()))?;
        Ok(Self::check(value)?)
    }

    /// Text that comes out of the database, where it only came in by this door.
    pub(crate) fn from_database(text: String) -> Self {
        Self(RawValue::from_string(text).expect("the database holds valid JSON"))
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The JSON text as serde's raw value, to be put into other JSON.
    pub fn as_raw(&self) -> &RawValue {
        &self.0
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// One pass over a text that is valid JSON already.
fn check_storable(text: &str) -> Result<(), Unstorable> {
    let bytes = text.as_bytes();
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = check_string(bytes, at + 1)?,
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_LIMIT {
                    return Err(Unstorable::TooDeep);
                }
            }
            b']' | b'}' => depth -= 1,
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|byte| is_number_byte(**byte)).count();
                check_number(&bytes[at..at + length])?;
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Checks the string that starts at `at`; returns where its closing quote is.
fn check_string(bytes: &[u8], mut at: usize) -> Result<usize, Unstorable> {
    loop {
        match bytes[at] {
            b'"' => return Ok(at),
            b'\\' if bytes[at + 1] == b'u' => match code_unit(&bytes[at + 2..at + 6]) {
                0 => return Err(Unstorable::NulCharacter),
                0xD800..=0xDBFF => {
                    let low = bytes[at + 6..].starts_with(b"\\u").then(|| code_unit(&bytes[at + 8..at + 12]));
                    if !low.is_some_and(|unit| (0xDC00..=0xDFFF).contains(&unit)) {
                        return Err(Unstorable::LoneSurrogate);
                    }
                    at += 12;
                }
                0xDC00..=0xDFFF => return Err(Unstorable::LoneSurrogate),
                _ => at += 6,
            },
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn code_unit(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |unit, digit| unit << 4 | char::from(*digit).to_digit(16).unwrap_or_default())
}

fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
}

/// A little stricter than `numeric`: zeros count as digits.
fn check_number(number: &[u8]) -> Result<(), Unstorable> {
    let (mantissa, exponent) = match number.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&number[..at], exponent(&number[at + 1..])),
        None => (number, 0),
    };
    let mantissa = mantissa.strip_prefix(b"-").unwrap_or(mantissa);
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let integer_digits = i64::try_from(point).unwrap_or(i64::MAX);
    let fraction_digits = i64::try_from(mantissa.len().saturating_sub(point + 1)).unwrap_or(i64::MAX);
    let fits = integer_digits.saturating_add(exponent) <= INTEGER_DIGITS_LIMIT
        && fraction_digits.saturating_sub(exponent) <= FRACTION_DIGITS_LIMIT;
    if fits { Ok(()) } else { Err(Unstorable::NumberTooLong) }
}

/// The exponent's value; one too long for an `i64` is as good as infinite.
fn exponent(digits: &[u8]) -> i64 {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    let text = text.strip_prefix('+').unwrap_or(text);
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<Unstorable> {
        match Json::parse(text.as_bytes()) {
            Ok(json) => {
                assert_eq!(json.get(), text.trim());
                None
            }
            Err(BadJson::Unstorable(reason)) => Some(reason),
            Err(BadJson::Malformed(reason)) => panic!("{text}: {reason}"),
        }
    }

    #[test]
    fn storable_values_pass_unchanged() {
        for text in [
            "null",
            " {\"a\": [1, 2.50, -3e10, \"\\u00e9\\n\\\\u0000\"]} ",
            r#""\uD83D\uDE00""#,
            "1e131071",
            "1e-16383",
            r#"{"a":1,"a":2}"#,
            r#""[[[{{{ 1e999999""#,
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
        assert_eq!(refused(&format!("{}{}", "[".repeat(128), "]".repeat(128))), None);
    }

    #[test]
    fn what_postgres_cannot_hold_is_refused() {
        assert_eq!(refused(&format!("{}{}", "[".repeat(129), "]".repeat(129))), Some(Unstorable::TooDeep));
        assert_eq!(refused(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))), Some(Unstorable::TooDeep));
        for text in [r#""\u0000""#, r#"{"a\u0000":1}"#] {
            assert_eq!(refused(text), Some(Unstorable::NulCharacter), "{text}");
        }
        for text in [r#""\uD83D""#, r#""\uDE00""#, r#""\uD83Dx""#, r#""\uD83D\u0041""#, r#""\ud83d\ud83d""#] {
            assert_eq!(refused(text), Some(Unstorable::LoneSurrogate), "{text}");
        }
        for text in ["1e131072", "1e400000", "-1e99999999999999999999", "1e-16384", "[1e-99999999999999999999]"] {
            assert_eq!(refused(text), Some(Unstorable::NumberTooLong), "{text}");
        }
    }

    #[test]
    fn malformed_text_is_told_apart() {
        for text in [&b"{"[..], b"", b"{'a':1}", b"1 2", b"\xff", b"\xef\xbb\xbf{}", b"NaN", b"\"\\x\"", b"\"\x00\""] {
            assert!(matches!(Json::parse(text), Err(BadJson::Malformed(_))), "{text:?}");
        }
    }
}
