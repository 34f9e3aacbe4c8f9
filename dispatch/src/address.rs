//! Reads `REDIS_ADDR`.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use service::exit::Failure;

/// `host:port`, or a URL `redis://` or, encrypted, `rediss://`. Errors never quote it: a URL may hold a password.
pub(crate) fn parse(text: &str) -> Result<ConnectionInfo, Failure> {
    let malformed = || Failure::usage("REDIS_ADDR must be host:port, redis://host:port/db or rediss://host:port/db");
    if text.contains("://") {
        let info = text.into_connection_info().map_err(|_| malformed())?;
        return match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, insecure: false, .. }
                if !host.is_empty() && *port != 0 =>
            {
                Ok(info)
            }
            _ => Err(malformed()),
        };
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(malformed)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    // Colons only within brackets: an address of IPv6.
    let fits = if bare == host { bare.bytes().all(is_plain) } else { bare.parse::<std::net::Ipv6Addr>().is_ok() };
    if bare.is_empty() || !fits {
        return Err(malformed());
    }
    ConnectionAddr::Tcp(bare.to_owned(), port).into_connection_info().map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_urls_are_understood() {
        for (text, shown) in [
            ("redis:6379", "redis:6379"),
            ("127.0.0.1:7000", "127.0.0.1:7000"),
            ("[::1]:6379", "::1:6379"),
            ("redis.mini-project.svc:6379", "redis.mini-project.svc:6379"),
            ("redis://redis", "redis:6379"),
            ("redis://user:secret@redis:6380/3", "redis:6380"),
            ("rediss://redis:6380", "redis:6380"),
        ] {
            let info = parse(text).unwrap();
            let (ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) = info.addr() else {
                panic!("{text}")
            };
            assert_eq!(format!("{host}:{port}"), shown, "{text}");
        }
        let info = parse("redis://user:secret@redis:6380/3").unwrap();
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("user"), Some("secret"), 3));
    }

    #[test]
    fn nonsense_is_refused_without_quoting_it() {
        for text in [
            "",
            "redis",
            "redis:",
            ":6379",
            "redis:port",
            "redis:0",
            "redis:99999",
            "a b:6379",
            "tcp://secret:6379",
            "http://secret",
            "redis://",
            "redis://secret:port",
            "redis://:secret@",
            "redis://secret/x",
            "unix:///secret",
            "1:2:3",
            "rediss://secret:1/0#insecure",
        ] {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(error.starts_with("REDIS_ADDR must be") && !error.contains("secret"), "{text}: {error}");
        }
    }
}
