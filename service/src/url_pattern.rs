//! Patterns of URLs that an operator allows: where clients may have something sent to.
//!
//! | pattern | what it allows |
//! |---|---|
//! | `https://api.example.com` | any path of that origin |
//! | `https://api.example.com/hooks` | this path alone, with any query |
//! | `https://api.example.com/hooks/*` | paths that start with `/hooks/` |
//! | `https://*.example.com/hooks/*` | the same at every name below `example.com`, but not at `example.com` |
//! | `https://*` | any path at every name, but at no IP address |
//! | `http://10.0.0.5:8080/*` | any path there |
//!
//! The port is the scheme's own unless it is named. A pattern says nothing about addresses: whoever follows such a URL must
//! look at what its host resolves to.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, de};
use url::{Host, Url};

/// Longest URL that any pattern allows, in bytes: what servers commonly take.
const LENGTH_LIMIT: usize = 8192;
/// How often a path is decoded to find out what it hides.
const DECODINGS: usize = 5;

/// Which URLs are allowed. Read with [`FromStr`]; shown as it was normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPattern {
    scheme: String,
    hosts: Hosts,
    port: u16,
    paths: Paths,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    One(Host<String>),
    /// Names that consist of one or more labels and this, which is empty or starts with a dot.
    EndingWith(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    Any,
    One(String),
    /// Ends with a slash.
    StartingWith(String),
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Another scheme, or none.
    #[error("must start with https:// or http://")]
    Scheme,
    /// What is left without its stars is no URL.
    #[error("is no valid URL")]
    Url,
    /// A name or a password before the host.
    #[error("must not hold a user or a password")]
    UserInfo,
    /// A star in the middle of a name.
    #[error("a * in the host must be its first label, as in https://*.example.com")]
    Host,
    /// A star in the middle of a path.
    #[error("a * in the path must be all of its last part, as in https://example.com/hooks/*")]
    Path,
    /// A `?` or a `#`.
    #[error("must not hold a query or a fragment; any query is allowed")]
    Query,
}

impl UrlPattern {
    /// Whether it allows `url`. Never one with a user or a password in it, nor one whose path could lead out of the
    /// pattern's for a receiver that decodes it (`%2e%2e%2f`).
    ///
    /// Never one of more than 8192 bytes.
    pub fn matches(&self, url: &Url) -> bool {
        url.as_str().len() <= LENGTH_LIMIT
            && url.scheme() == self.scheme
            && url.username().is_empty()
            && url.password().is_none()
            && url.port_or_known_default() == Some(self.port)
            && url.host().is_some_and(|host| self.hosts.hold(&host.to_owned()))
            && self.paths.hold(url.path())
    }
}

impl Hosts {
    fn hold(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::One(one), host) => one == host,
            (Self::EndingWith(rest), Host::Domain(name)) => {
                name.strip_suffix(rest.as_str()).is_some_and(|labels| labels.split('.').all(|label| !label.is_empty()))
            }
            (Self::EndingWith(_), _) => false,
        }
    }
}

impl Paths {
    fn hold(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => path == one,
            Self::StartingWith(start) => path.starts_with(start) && (start == "/" || !climbs(path)),
        }
    }
}

/// Whether some receiver could read a step upwards in a path, which has none as it stands: behind escapes, however often
/// they are escaped themselves, a backslash, or with a parameter (`..;x`).
fn climbs(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..DECODINGS {
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            return path.split(['/', '\\']).any(|part| part.split(';').next() == Some(".."));
        }
        path = decoded;
    }
    // Nobody escapes an escape that often in good faith, and to find its end could take as many steps as it is long.
    true
}

impl FromStr for UrlPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let (_, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)))
            .ok_or(BadPattern::Scheme)?;
        // What a URL's reader would silently drop or turn into a slash.
        if rest.starts_with('/') || rest.contains(|c: char| c == '\\' || c.is_whitespace() || c.is_control()) {
            return Err(BadPattern::Url);
        }
        if rest.contains(['?', '#']) {
            return Err(BadPattern::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BadPattern::UserInfo);
        }
        // A star may stand in a URL, so its reader normalises the pattern as it will the URLs.
        let url = Url::parse(text).map_err(|_| BadPattern::Url)?;
        Ok(Self {
            scheme: url.scheme().to_owned(),
            hosts: hosts(url.host().ok_or(BadPattern::Url)?.to_owned())?,
            port: url.port_or_known_default().ok_or(BadPattern::Url)?,
            paths: if path.is_empty() { Paths::Any } else { paths(url.path())? },
        })
    }
}

fn hosts(host: Host<String>) -> Result<Hosts, BadPattern> {
    let hosts = match &host {
        Host::Domain(name) => name.strip_prefix('*').map(str::to_owned),
        _ => None,
    };
    match hosts {
        Some(rest) if !(rest.is_empty() || rest.starts_with('.')) || rest.contains('*') => Err(BadPattern::Host),
        Some(rest) if rest.split('.').skip(1).any(str::is_empty) => Err(BadPattern::Host),
        Some(rest) => Ok(Hosts::EndingWith(rest)),
        None if host.to_string().contains('*') => Err(BadPattern::Host),
        None => Ok(Hosts::One(host)),
    }
}

fn paths(path: &str) -> Result<Paths, BadPattern> {
    let start = path.strip_suffix('*');
    match start.unwrap_or(path) {
        path if path.contains('*') => Err(BadPattern::Path),
        path if start.is_none() => Ok(Paths::One(path.to_owned())),
        path if path.ends_with('/') && !climbs(path) => Ok(Paths::StartingWith(path.to_owned())),
        _ => Err(BadPattern::Path),
    }
}

impl Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.hosts {
            Hosts::One(host) => write!(f, "{host}")?,
            Hosts::EndingWith(rest) => write!(f, "*{rest}")?,
        }
        if self.port != if self.scheme == "https" { 443 } else { 80 } {
            write!(f, ":{}", self.port)?;
        }
        match &self.paths {
            Paths::Any => Ok(()),
            Paths::One(path) => f.write_str(path),
            Paths::StartingWith(start) => write!(f, "{start}*"),
        }
    }
}

impl<'de> Deserialize<'de> for UrlPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|reason| de::Error::custom(format_args!("{text:?} {reason}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> UrlPattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn allows(pattern_: &str, url: &str) -> bool {
        pattern(pattern_).matches(&Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")))
    }

    /// A pattern, URLs that it allows, and URLs that it does not.
    type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

    const CASES: &[Case] = &[
        (
            "https://api.example.com",
            &[
                "https://api.example.com",
                "https://API.EXAMPLE.COM:443/a/b?c=d#e",
                "https://api.example.com/..%2f%2e%2e",
                "https:\\\\api.example.com\\a",
            ],
            &[
                "http://api.example.com/",
                "https://api.example.com:8443/",
                "https://example.com/",
                "https://a.api.example.com/",
                "https://api.example.com.evil.com/",
                "https://evil.com/api.example.com",
                "https://api.example.com@evil.com/",
                "https://evil.com\\@api.example.com/",
                "https://user@api.example.com/",
                "https://:password@api.example.com/",
                "https://api.example.com./",
                "ftp://api.example.com/",
            ],
        ),
        (
            "https://api.example.com/hooks",
            &["https://api.example.com/hooks", "https://api.example.com/x/../hooks?y=1"],
            &["https://api.example.com/", "https://api.example.com/hooks/", "https://api.example.com/HOOKS"],
        ),
        (
            "https://api.example.com/hooks/*",
            &[
                "https://api.example.com/hooks/",
                "https://api.example.com/hooks/a/b?c",
                "https://api.example.com/hooks/group%2Fname",
                "https://api.example.com/hooks/a..b/..c/...",
                "https://api.example.com/hooks/a/../b",
                "https://api.example.com/hooks/%ff%",
            ],
            &[
                "https://api.example.com/hooks",
                "https://api.example.com/hooksmith/",
                "https://api.example.com/hooks/../admin",
                "https://api.example.com/hooks/%2e%2E/admin",
                "https://api.example.com/hooks/..%2fadmin",
                "https://api.example.com/hooks/%2e%2e%2fadmin",
                "https://api.example.com/hooks/..%5cadmin",
                "https://api.example.com/hooks/%252e%252e%252fadmin",
                "https://api.example.com/hooks/..;x/admin",
                "https://api.example.com/hooks/a/%2e.;/%2e%2e;/admin",
                "https://api.example.com//hooks/a",
            ],
        ),
        (
            "https://*.Example.com/hooks/*",
            &["https://a.example.com/hooks/x", "https://a.b.example.com/hooks/x"],
            &[
                "https://example.com/hooks/x",
                "https://evilexample.com/hooks/x",
                "https://.example.com/hooks/x",
                "https://a..example.com/hooks/x",
                "https://a.example.com.evil.com/hooks/x",
                "https://a.example.com./hooks/x",
                "https://a.example.com/other",
            ],
        ),
        (
            "https://*",
            &["https://example.com/a", "https://localhost/"],
            &["https://127.0.0.1/", "https://2130706433/", "https://[::1]/", "http://example.com/", "https://a:1/"],
        ),
        (
            "http://10.0.0.5:8080/*",
            &["http://10.0.0.5:8080/a", "http://0x0a.5:8080/", "http://167772165:8080/"],
            &[
                "http://10.0.0.5/a",
                "http://10.0.0.50:8080/a",
                "https://10.0.0.5:8080/a",
                "http://[::ffff:10.0.0.5]:8080/",
            ],
        ),
        ("http://[2001:DB8::0:1]", &["http://[2001:db8::1]/x"], &["http://[2001:db8::2]/x"]),
        (
            "https://b\u{fc}cher.example",
            &["https://B\u{dc}CHER.example/", "https://xn--bcher-kva.example/"],
            &["https://bucher.example/"],
        ),
        ("https://*.b\u{fc}cher.example", &["https://a.xn--bcher-kva.example/"], &["https://xn--bcher-kva.example/"]),
    ];

    #[test]
    fn what_is_allowed_and_what_is_not() {
        for (pattern, allowed, refused) in CASES {
            for url in *allowed {
                assert!(allows(pattern, url), "{pattern} should allow {url}");
            }
            for url in *refused {
                assert!(!allows(pattern, url), "{pattern} should refuse {url}");
            }
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", BadPattern::Scheme),
            ("*", BadPattern::Scheme),
            ("example.com", BadPattern::Scheme),
            ("*://example.com", BadPattern::Scheme),
            ("ftp://example.com", BadPattern::Scheme),
            ("https:example.com", BadPattern::Scheme),
            (" https://example.com", BadPattern::Scheme),
            ("https://", BadPattern::Url),
            ("https:///example.com", BadPattern::Url),
            ("https://exa mple.com", BadPattern::Url),
            ("https://example.com\t", BadPattern::Url),
            ("https://example.com\\a", BadPattern::Url),
            ("https://example.com:port", BadPattern::Url),
            ("https://example.com:*", BadPattern::Url),
            ("https://*.0.0.1", BadPattern::Url),
            ("https://[::*]", BadPattern::Url),
            ("https://a@example.com", BadPattern::UserInfo),
            ("https://*@example.com", BadPattern::UserInfo),
            ("https://*example.com", BadPattern::Host),
            ("https://a.*.example.com", BadPattern::Host),
            ("https://*.*.example.com", BadPattern::Host),
            ("https://example.*", BadPattern::Host),
            ("https://*.", BadPattern::Host),
            ("https://*..example.com", BadPattern::Host),
            ("https://example.com/a*", BadPattern::Path),
            ("https://example.com/*/b", BadPattern::Path),
            ("https://example.com/a/**", BadPattern::Path),
            ("https://example.com/a%2f..%2f/*", BadPattern::Path),
            ("https://example.com/?a=*", BadPattern::Query),
            ("https://example.com#a", BadPattern::Query),
        ] {
            assert_eq!(text.parse::<UrlPattern>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn escapes_of_escapes_without_end_and_endless_urls_are_refused() {
        let pattern = pattern("https://a.example.com/hooks/*");
        let url = |path: String| Url::parse(&format!("https://a.example.com/hooks/{path}")).unwrap();
        assert!(pattern.matches(&url("%252525".to_owned())));
        assert!(!pattern.matches(&url(format!("%{}", "25".repeat(4000)))));
        assert!(pattern.matches(&url("a".repeat(8000))));
        assert!(!pattern.matches(&url("a".repeat(9000))));
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_understood() {
        for (text, shown) in [
            ("HTTPS://API.example.com:443", "https://api.example.com"),
            ("http://*.example.com:443/a/../b/*", "http://*.example.com:443/b/*"),
            ("https://[::0001]/", "https://[::1]/"),
        ] {
            assert_eq!(pattern(text).to_string(), shown);
        }
    }

    #[test]
    fn a_pattern_is_read_as_a_value_and_blamed_by_its_text() {
        let read = serde_json::from_str::<Vec<UrlPattern>>(r#"["https://*.example.com"]"#).unwrap();
        assert_eq!(read, [pattern("https://*.example.com")]);
        let error = serde_json::from_str::<UrlPattern>(r#""example.com""#).unwrap_err().to_string();
        assert!(error.starts_with("\"example.com\" must start with https://"), "{error}");
    }

    /// Steps that a path is made of, and the ways to write a dot and a slash.
    fn paths_with_tricks() -> impl Strategy<Value = String> {
        let step = prop::sample::select(vec![
            "hooks", "admin", "/", "//", "\\", "..", ".", "%2e", "%2E%2e", "%2f", "%5C", "%252e", "%252f", ";x", "%3b",
            "%", "*",
        ]);
        prop::collection::vec(step, 0..9).prop_map(|steps| format!("/hooks/{}", steps.concat()))
    }

    proptest! {
        /// A lenient receiver: decodes until nothing is left to decode, takes backslashes for slashes, drops parameters, climbs.
        #[test]
        fn no_path_that_is_allowed_leads_elsewhere(path in paths_with_tricks()) {
            let url = Url::parse(&format!("https://example.com{path}")).unwrap();
            if !pattern("https://example.com/hooks/*").matches(&url) {
                return Ok(());
            }
            let mut path = url.path().to_owned();
            while path.contains('%') {
                let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
                if decoded == path {
                    break;
                }
                path = decoded;
            }
            let mut place = Vec::new();
            for part in path.split(['/', '\\']).map(|part| part.split(';').next().unwrap_or_default()) {
                match part {
                    "" | "." => {}
                    ".." => drop(place.pop()),
                    part => place.push(part),
                }
            }
            prop_assert_eq!(place.first(), Some(&"hooks"), "{}", url);
        }

        #[test]
        fn a_star_stands_for_labels_and_nothing_else(labels in "([a-z0-9]{1,5}\\.){0,3}", rest in "[a-z.]{0,12}") {
            let star = pattern("https://*.example.com");
            let below = Url::parse(&format!("https://{labels}example.com/x")).unwrap();
            prop_assert_eq!(star.matches(&below), !labels.is_empty());
            if let Ok(other) = Url::parse(&format!("https://{labels}example.com{rest}/")) {
                let inside = other.host_str().is_some_and(|host| host.ends_with(".example.com"));
                prop_assert!(inside || !star.matches(&other), "{}", other);
            }
        }

        #[test]
        fn a_pattern_shown_is_the_pattern(text in "https?://(\\*\\.)?[a-z0-9.]{1,9}(:[1-9][0-9]{0,3})?(/[a-z.%2eA/]{0,9})?(/\\*)?") {
            if let Ok(pattern) = text.parse::<UrlPattern>() {
                prop_assert_eq!(pattern.to_string().parse::<UrlPattern>(), Ok(pattern));
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "(https?://)?[ -~\u{e4}\u{3002}\\*/%.]{0,24}") {
            let _ = text.parse::<UrlPattern>();
        }
    }
}
