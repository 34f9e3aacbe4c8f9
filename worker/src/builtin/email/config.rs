//! What the operator's file says of a mail server, and what of it is checked when the worker starts.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lettre::{
    message::Mailbox,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, TlsParameters},
        extension::ClientId,
    },
};
use serde::{Deserialize, Deserializer, de::Error};

use super::{
    connections::{Idle, Security, Server},
    mailbox,
    message::{Allowed, Limits},
    rules::Pattern,
};
use crate::{
    builtin::{fields::duration, secret::Secret},
    handler::{Context, Handler},
};

/// For a whole message; servers may take minutes to answer (RFC 5321, 4.5.3.2), but most take a second.
const TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// A host may have several addresses; one that does not answer must not use up the time for all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A kind of type `email` as the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::builtin) struct EmailKind {
    host: String,
    /// That of the way of encryption unless given: 587, 465 or 25.
    port: Option<u16>,
    #[serde(default)]
    tls: Tls,
    /// PEM; the system's authorities unless given.
    ca_file: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    /// What it calls itself to the server; the host's name unless given.
    hello: Option<String>,
    #[serde(deserialize_with = "mailbox")]
    from: Mailbox,
    /// Senders that payloads may choose; none unless given.
    #[serde(default)]
    allowed_from: Vec<Pattern>,
    #[serde(default, deserialize_with = "some_mailbox")]
    reply_to: Option<Mailbox>,
    /// No default: that a queue may write to anybody is worth a line.
    allowed_recipients: Vec<Pattern>,
    #[serde(default)]
    limits: Limits,
    #[serde(default = "timeout", deserialize_with = "duration")]
    timeout: Duration,
}

/// When encryption begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Tls {
    Implicit,
    #[default]
    Starttls,
    None,
}

/// What sends the messages of a kind.
pub(super) struct Mailer {
    pub(super) server: Server,
    pub(super) idle: Idle,
    pub(super) allowed: Allowed,
    /// Longest time for a message.
    pub(super) timeout: Duration,
}

/// The server, for messages.
impl fmt::Display for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server.host, self.server.port)
    }
}

impl EmailKind {
    /// Checks it, reads its files, and makes what runs its tasks. The reason of a refusal is one line that begins with the field.
    pub(in crate::builtin) fn handler(self) -> Result<impl Handler, String> {
        let mailer = Arc::new(self.mailer()?);
        Ok(move |task: Context| {
            let mailer = mailer.clone();
            async move { mailer.send(&task).await }
        })
    }

    fn mailer(self) -> Result<Mailer, String> {
        if self.host.is_empty() || self.host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err("host: must be a name or an address".to_owned());
        }
        if self.allowed_recipients.is_empty() {
            return Err("allowed_recipients: allows nobody; [\"*\"] allows anybody".to_owned());
        }
        if self.timeout.is_zero() || self.timeout > TIMEOUT_MAX {
            return Err(format!("timeout: must be longer than nothing and at most {TIMEOUT_MAX:?}"));
        }
        let server = Server {
            port: self.port.unwrap_or_else(|| self.tls.port()),
            security: self.security()?,
            hello: self.hello()?,
            credentials: self.credentials()?,
            connect_timeout: CONNECT_TIMEOUT.min(self.timeout),
            host: self.host,
        };
        let allowed = Allowed {
            from: self.from,
            other_from: self.allowed_from,
            reply_to: self.reply_to,
            recipients: self.allowed_recipients,
            limits: self.limits,
        };
        Ok(Mailer { server, idle: Idle::default(), allowed, timeout: self.timeout })
    }

    fn security(&self) -> Result<Security, String> {
        let parameters = || tls_parameters(&self.host, self.ca_file.as_deref());
        match self.tls {
            Tls::Implicit => Ok(Security::Implicit(parameters()?)),
            Tls::Starttls => Ok(Security::Starttls(parameters()?)),
            Tls::None if self.ca_file.is_some() => Err("ca_file: nothing is checked with tls = \"none\"".to_owned()),
            Tls::None => Ok(Security::None),
        }
    }

    fn credentials(&self) -> Result<Option<Credentials>, String> {
        match (&self.username, &self.password_file) {
            (None, None) => Ok(None),
            (Some(_), None) => Err("password_file: must be given with username".to_owned()),
            (None, Some(_)) => Err("username: must be given with password_file".to_owned()),
            (Some(_), Some(_)) if self.tls == Tls::None && !is_loopback(&self.host) => {
                Err("tls: \"none\" would show the password to everybody on the way".to_owned())
            }
            (Some(username), Some(file)) => {
                let password = Secret::read(file).map_err(|reason| format!("password_file: {reason}"))?;
                Ok(Some(Credentials::new(username.clone(), password.reveal().to_owned())))
            }
        }
    }

    fn hello(&self) -> Result<ClientId, String> {
        let name = self.hello.clone().unwrap_or_else(crate::config::host_name);
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        match name.parse() {
            Ok(IpAddr::V4(address)) => Ok(ClientId::Ipv4(address)),
            Ok(IpAddr::V6(address)) => Ok(ClientId::Ipv6(address)),
            Err(_) if !name.is_empty() && name.chars().all(is_name) => Ok(ClientId::Domain(name)),
            Err(_) => Err("hello: must be a host's name or address".to_owned()),
        }
    }
}

impl Tls {
    fn port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

/// With rustls and ring, as everywhere. A file of authorities replaces the system's.
fn tls_parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let builder = TlsParameters::builder(host.to_owned());
    let builder = match ca_file {
        None => builder.certificate_store(CertificateStore::Default),
        Some(path) => {
            let bad = |reason: &dyn fmt::Display| format!("ca_file: {}: {reason}", path.display());
            let pem = std::fs::read(path).map_err(|error| bad(&error))?;
            if !String::from_utf8_lossy(&pem).contains("BEGIN CERTIFICATE") {
                return Err(bad(&"holds no certificate"));
            }
            let certificate = Certificate::from_pem(&pem).map_err(|error| bad(&error))?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificate)
        }
    };
    builder.build_rustls().map_err(|error| format!("tls: {error}"))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn mailbox<'de, D: Deserializer<'de>>(text: D) -> Result<Mailbox, D::Error> {
    mailbox::read(&String::deserialize(text)?).map_err(D::Error::custom)
}

fn some_mailbox<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Mailbox>, D::Error> {
    mailbox(text).map(Some)
}

fn timeout() -> Duration {
    TIMEOUT
}
