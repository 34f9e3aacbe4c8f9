//! Whether and where an answer sends a request on.

use hyper::{
    Method, StatusCode,
    header::{HeaderMap, LOCATION},
};
use url::Url;

/// Where to send the same request again; none if the answer is no redirect that may be followed with this method.
///
/// 301, 302 and 303 make a GET of other methods. What was to be delivered would be lost, and the answer taken for its result.
pub(super) fn next(status: StatusCode, headers: &HeaderMap, method: &Method, from: &Url) -> Option<Url> {
    match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {}
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER if method == Method::GET => {}
        _ => return None,
    }
    let to = from.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let is_as_safe = to.scheme() == "https" || to.scheme() == "http" && from.scheme() == "http";
    let is_plain = to.username().is_empty() && to.password().is_none();
    (is_as_safe && is_plain).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_repeats_the_request_as_safely_is_followed() {
        let (safe, open) = ("https://a.example/x", "http://a.example/x");
        for (status, method, from, location, to) in [
            (307, Method::POST, safe, "/y", Some("https://a.example/y")),
            (308, Method::PUT, safe, "https://b.example", Some("https://b.example/")),
            (308, Method::POST, open, "https://a.example/x", Some("https://a.example/x")),
            (307, Method::POST, open, "//b.example", Some("http://b.example/")),
            (302, Method::GET, safe, "y", Some("https://a.example/y")),
            (302, Method::POST, safe, "/y", None),
            (303, Method::POST, safe, "/y", None),
            (200, Method::GET, safe, "/y", None),
            (304, Method::GET, safe, "/y", None),
            (307, Method::POST, safe, "http://a.example/x", None),
            (307, Method::POST, safe, "file:///etc/passwd", None),
            (307, Method::POST, safe, "https://user@b.example/", None),
            (307, Method::POST, safe, "https://", None),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let status = StatusCode::from_u16(status).unwrap();
            let next = next(status, &headers, &method, &Url::parse(from).unwrap());
            assert_eq!(next.as_ref().map(Url::as_str), to, "{status} {method} {from} -> {location}");
        }
        let from = Url::parse(safe).unwrap();
        assert_eq!(next(StatusCode::TEMPORARY_REDIRECT, &HeaderMap::new(), &Method::POST, &from), None);
    }
}
