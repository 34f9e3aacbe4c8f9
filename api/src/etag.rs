//! Strong entity tags, and whether a client has the newest body already.

use std::hash::{DefaultHasher, Hasher};

use axum::http::{HeaderMap, HeaderValue, header};

/// A tag of exactly these bytes. Replicas of the same release agree on it; another release's tag only costs a full answer.
pub(crate) fn of(body: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    let tag = format!("\"{:016x}\"", hasher.finish());
    HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes are a header value")
}

/// Whether `If-None-Match` names this tag. (Weak comparison, as RFC 9110 has it for this header.)
pub(crate) fn matches(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(|candidate| candidate.trim()).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate).as_bytes() == tag.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_tag_matches_in_any_form() {
        let tag = of(b"body");
        assert_eq!(tag, of(b"body"));
        assert_ne!(tag, of(b"Body"));
        let text = tag.to_str().unwrap();
        for (given, expected) in [
            (text.to_owned(), true),
            (format!("W/{text}"), true),
            (format!("\"x\", {text}"), true),
            ("*".to_owned(), true),
            ("\"x\"".to_owned(), false),
        ] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(&given).unwrap())]);
            assert_eq!(matches(&headers, &tag), expected, "{given}");
        }
        assert!(!matches(&HeaderMap::new(), &tag));
    }
}
