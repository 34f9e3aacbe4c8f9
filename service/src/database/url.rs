//! Reads a Postgres URL, forgiving about passwords.
//!
//! `postgresql://app:$(PASSWORD)@postgres:5432/app` is how people write it, and nothing percent-encodes that password. So the
//! host starts after the *last* `@`, and the password is decoded only where it holds valid `%XX` sequences.
//! A password that itself looks percent-encoded belongs into `POSTGRES_PASSWORD`.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::ValueEnum;
use percent_encoding::percent_decode_str;

use super::{SslMode, Target, tls::Tls};
use crate::exit::Failure;

/// What a URL says.
pub(super) struct Endpoint {
    pub(super) config: tokio_postgres::Config,
    pub(super) ssl_mode: Option<SslMode>,
    pub(super) ca_file: Option<PathBuf>,
}

impl Endpoint {
    /// Adds encryption; the arguments are for what the URL does not say.
    pub(super) fn target(self, mode: Option<SslMode>, ca_file: Option<&Path>) -> Result<Target, Failure> {
        let mode = self.ssl_mode.or(mode).unwrap_or(SslMode::Prefer);
        let tls = Tls::new(mode, self.ca_file.as_deref().or(ca_file))?;
        Ok(Target { config: self.config, tls })
    }
}

/// Reads `url`; `user` and `password`, when given, win over the URL's. `name` is the variable to blame. Errors never quote the URL.
pub(super) fn parse(name: &str, url: &str, user: Option<&str>, password: Option<&str>) -> Result<Endpoint, Failure> {
    let bad = |reason: &str| Failure::usage(format!("{name}: {reason}"));
    let rest = url
        .strip_prefix("postgresql://")
        .or_else(|| url.strip_prefix("postgres://"))
        .ok_or_else(|| bad("must start with postgresql://"))?;
    let (user_info, location) = match rest.rfind('@') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => ("", rest),
    };
    // What looks like a password to the left of the last @ was meant as a parameter: the rest of it would be taken for a host, and be logged.
    if user_info.contains("password=") {
        return Err(bad("in the parameter password an @ must be percent-encoded"));
    }
    let (own_user, own_password) = match user_info.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (user_info, None),
    };
    let (location, query) = location.split_once('?').unwrap_or((location, ""));

    let mut ssl_mode = None;
    let mut ca_file = None;
    let mut kept = Vec::new();
    for parameter in query.split('&').filter(|part| !part.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = decode(value);
        match key {
            "sslmode" => {
                let mode = SslMode::from_str(&value, false)
                    .map_err(|_| bad("sslmode must be disable, prefer, require or verify-full"))?;
                ssl_mode = Some(mode);
            }
            "sslrootcert" => ca_file = Some(PathBuf::from(value.as_ref())),
            _ => kept.push(parameter),
        }
    }

    let bare = format!("postgresql://{location}?{}", kept.join("&"));
    // The library's message may quote a parameter, never the user or the password: both are cut off above.
    let mut config = tokio_postgres::Config::from_str(&bare).map_err(|error| bad(&error.to_string()))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(bad("names no host"));
    }
    let user = user.map(Cow::Borrowed).or((!own_user.is_empty()).then(|| decode(own_user)));
    if let Some(user) = user {
        config.user(user);
    }
    if let Some(password) = password.map(Cow::Borrowed).or(own_password.map(decode)) {
        config.password(password.as_bytes());
    }
    Ok(Endpoint { config, ssl_mode, ca_file })
}

/// Whether a URL has a password in it, in any place where [`parse`] or the library beneath looks for one.
pub(super) fn holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(user_info, _)| user_info.contains(':')) || url.contains("password=")
}

/// Percent-decodes `text`, or leaves it alone where a `%` is no valid escape or the bytes are no UTF-8.
fn decode(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let escapes_hold = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if !escapes_hold {
        return Cow::Borrowed(text);
    }
    percent_decode_str(text).decode_utf8().unwrap_or(Cow::Borrowed(text))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn password_of(url: &str, apart: Option<&str>) -> String {
        let endpoint = parse("DATABASE_URL", url, None, apart).unwrap();
        assert_eq!(endpoint.config.get_hosts(), [Host::Tcp("db".to_owned())]);
        assert_eq!(endpoint.config.get_dbname(), Some("app"));
        String::from_utf8(endpoint.config.get_password().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn any_password_reaches_postgres() {
        assert_eq!(password_of("postgresql://app:plain@db:5432/app", None), "plain");
        assert_eq!(password_of("postgresql://app:p@ss:w/rd%@db:5432/app", None), "p@ss:w/rd%");
        assert_eq!(password_of("postgresql://app:p%40ss@db/app?sslmode=disable", None), "p@ss");
        assert_eq!(password_of("postgresql://app:old@db/app", Some("%41@/:")), "%41@/:");
        assert_eq!(password_of("postgresql://app@db/app", Some("apart")), "apart");
    }

    #[test]
    fn a_user_given_apart_wins() {
        let user = |url, apart| {
            let endpoint = parse("DATABASE_URL", url, apart, None).unwrap();
            endpoint.config.get_user().map(str::to_owned)
        };
        assert_eq!(user("postgresql://app:x@db/app", Some("taskrow_api")).as_deref(), Some("taskrow_api"));
        assert_eq!(user("postgresql://db/app", Some("taskrow_api")).as_deref(), Some("taskrow_api"));
        assert_eq!(user("postgresql://%61pp@db/app", None).as_deref(), Some("app"));
    }

    #[test]
    fn a_password_is_noticed_wherever_it_stands() {
        assert!(holds_password("postgresql://app:x@db/app") && holds_password("mysql://app:x@db/app"));
        assert!(holds_password("postgresql://app@db/app?password=x"));
        assert!(!holds_password("postgresql://app@db:5432/app?sslmode=require"));
    }

    #[test]
    fn errors_blame_the_variable_and_hide_the_secret() {
        for url in [
            "mysql://a:secret@db/app",
            "postgresql://a:secret@db:port/app",
            "postgresql://a:secret@db/app?sslmode=maybe",
            "postgresql://",
            "postgresql://a@db/app?password=secret@secret/x",
        ] {
            let error = parse("DATABASE_URL", url, None, None).err().unwrap().to_string();
            assert!(error.starts_with("DATABASE_URL: "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn ssl_parameters_are_taken_from_the_url() {
        let endpoint = parse(
            "DATABASE_URL",
            "postgres://a@db/app?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3",
            None,
            None,
        )
        .unwrap();
        assert_eq!(endpoint.ssl_mode, Some(SslMode::VerifyFull));
        assert_eq!(endpoint.ca_file, Some(PathBuf::from("/ca.pem")));
    }
}
