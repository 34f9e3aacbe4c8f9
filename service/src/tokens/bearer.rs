//! The token of a request (RFC 6750, by header only: URLs end up in logs).

use axum::http::{HeaderMap, HeaderValue, header};

use super::{Scope, Secret};

/// Why a request has no token. All are answered with 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It brings none.
    Missing,
    /// It brings something else, or more than one.
    Malformed,
    /// Nobody has this one, or nobody has it any more.
    Unknown,
}

impl Refusal {
    /// What the client is told.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Missing => "send `Authorization: Bearer <token>`",
            Self::Malformed => "send one `Authorization` header, with `Bearer` and a token that starts with `taskrow_`",
            Self::Unknown => "the token is not, or no longer, in the list",
        }
    }

    /// The value of `WWW-Authenticate`.
    pub const fn challenge(self) -> HeaderValue {
        match self {
            Self::Missing => HeaderValue::from_static("Bearer realm=\"taskrow\""),
            Self::Malformed => HeaderValue::from_static("Bearer realm=\"taskrow\", error=\"invalid_request\""),
            Self::Unknown => HeaderValue::from_static("Bearer realm=\"taskrow\", error=\"invalid_token\""),
        }
    }
}

/// The value of `WWW-Authenticate` for a token that lacks a scope.
pub const fn challenge(scope: Scope) -> HeaderValue {
    HeaderValue::from_static(match scope {
        Scope::Submit => "Bearer realm=\"taskrow\", error=\"insufficient_scope\", scope=\"submit\"",
        Scope::Read => "Bearer realm=\"taskrow\", error=\"insufficient_scope\", scope=\"read\"",
        Scope::Work => "Bearer realm=\"taskrow\", error=\"insufficient_scope\", scope=\"work\"",
        Scope::Admin => "Bearer realm=\"taskrow\", error=\"insufficient_scope\", scope=\"admin\"",
    })
}

/// The secret that a request brings.
pub(super) fn secret(headers: &HeaderMap) -> Result<Secret, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next().ok_or(Refusal::Missing)?;
    if given.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let (scheme, credentials) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Malformed);
    }
    Secret::parse(credentials.trim_matches(' ')).ok_or(Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Secret, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        secret(&headers)
    }

    #[test]
    fn one_bearer_token_is_read_and_nothing_else() {
        let secret = Secret::random().unwrap();
        let text = secret.reveal();
        for good in [format!("Bearer {text}"), format!("bearer {text}"), format!("BEARER   {text} ")] {
            assert_eq!(read(&[&good]), Ok(secret.clone()));
        }
        assert_eq!(read(&[]), Err(Refusal::Missing));
        let good = format!("Bearer {text}");
        for bad in [
            &[&good, &good][..],
            &[&text.to_owned()],
            &[&format!("Basic {text}")],
            &[&format!("Bearer{text}")],
            &[&format!("Bearer {text} {text}")],
            &[&format!("Bearer {text}é")],
            &[&"Bearer ".to_owned()],
            &[&"Bearer hunter2".to_owned()],
        ] {
            let bad: Vec<&str> = bad.iter().map(|text| text.as_str()).collect();
            assert_eq!(read(&bad), Err(Refusal::Malformed), "{bad:?}");
        }
    }
}
