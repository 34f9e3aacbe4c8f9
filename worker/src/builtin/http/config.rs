//! What the operator's file says about deliveries.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::{Method, Uri};
use serde::Deserialize;
use service::{authorities, url_pattern::UrlPattern};
use url::Url;

use super::{
    client::{self, Client},
    deliver::{Delivery, HttpHandler},
    guard::Reach,
    headers::Headers,
    signature::SigningKeys,
    target::Target,
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// As long as a task may run at most.
const TIMEOUT_MAX: Duration = queue::task::TIMEOUT_LIMIT;
const RESPONSE_LIMIT: usize = 64 * 1024;
/// More would not fit into any result.
const RESPONSE_LIMIT_MAX: usize = 16 * 1024 * 1024;
const REDIRECTS_MAX: u8 = 10;

/// `[kinds.<name>]` with `type = "http"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::builtin) struct HttpConfig {
    url: Option<String>,
    allow: Option<Vec<String>>,
    #[serde(default)]
    allow_private: bool,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    secret_headers: BTreeMap<String, PathBuf>,
    timeout: Option<String>,
    response_limit: Option<usize>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    signing_keys: Vec<PathBuf>,
    #[serde(default)]
    redirects: u8,
}

/// `[callbacks]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::builtin) struct CallbacksConfig {
    allow: Vec<String>,
    #[serde(default)]
    allow_private: bool,
    timeout: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    signing_keys: Vec<PathBuf>,
}

impl HttpConfig {
    /// Checks everything, and reads every file. Errors start with the field's name and hold no secret.
    pub(in crate::builtin) fn handler(self) -> Result<HttpHandler, String> {
        let target = match (&self.url, &self.allow) {
            (Some(url), None) => Target::Fixed(fixed(url).map_err(|reason| format!("url: {reason}"))?),
            (None, Some(allow)) => Target::Named(patterns(allow)?),
            _ => return Err("url: must be there, or else allow, and not both".to_owned()),
        };
        let method = match self.method.as_deref().unwrap_or("POST") {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            "GET" => Method::GET,
            _ => return Err("method: must be POST, PUT, PATCH, DELETE or GET".to_owned()),
        };
        let response_limit = self.response_limit.unwrap_or(RESPONSE_LIMIT);
        if response_limit > RESPONSE_LIMIT_MAX {
            return Err(format!("response_limit: must be at most {RESPONSE_LIMIT_MAX}"));
        }
        if self.redirects > REDIRECTS_MAX {
            return Err(format!("redirects: must be at most {REDIRECTS_MAX}"));
        }
        let beyond = if self.allow_private { Reach::Network } else { Reach::Public };
        let own = if matches!(target, Target::Fixed(_)) { Reach::Anywhere } else { beyond };
        if own == Reach::Anywhere && self.allow_private && self.redirects == 0 {
            return Err("allow_private: the operator's own url needs no permission".to_owned());
        }
        let is_plain = matches!(&target, Target::Fixed(url) if url.scheme() == "http") && self.redirects == 0;
        let tls = tls(self.ca_file.as_deref(), is_plain)?;
        Ok(HttpHandler(Arc::new(Delivery {
            target,
            method,
            headers: Headers::read(&self.headers, &self.secret_headers)?,
            keys: signing_keys(&self.signing_keys)?,
            timeout: timeout(self.timeout.as_deref())?,
            response_limit,
            redirects: self.redirects,
            client: Client::new(own, tls.clone()),
            elsewhere: Client::new(beyond, tls),
        })))
    }
}

impl CallbacksConfig {
    /// As [`HttpConfig::handler`].
    pub(in crate::builtin) fn handler(self) -> Result<HttpHandler, String> {
        let reach = if self.allow_private { Reach::Network } else { Reach::Public };
        let client = Client::new(reach, tls(self.ca_file.as_deref(), false)?);
        Ok(HttpHandler(Arc::new(Delivery {
            target: Target::Callback(patterns(&self.allow)?),
            method: Method::POST,
            headers: Headers::default(),
            keys: signing_keys(&self.signing_keys)?,
            timeout: timeout(self.timeout.as_deref())?,
            response_limit: RESPONSE_LIMIT,
            redirects: 0,
            elsewhere: client.clone(),
            client,
        })))
    }
}

fn fixed(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("must start with https:// or http://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password; that is what secret_headers are for".to_owned());
    }
    Uri::try_from(url.as_str()).map_err(|error| error.to_string())?;
    Ok(url)
}

fn patterns(texts: &[String]) -> Result<Vec<UrlPattern>, String> {
    if texts.is_empty() {
        return Err("allow: must hold a pattern".to_owned());
    }
    let pattern = |text: &String| text.parse().map_err(|reason| format!("allow: {text:?} {reason}"));
    texts.iter().map(pattern).collect()
}

fn timeout(text: Option<&str>) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(TIMEOUT) };
    let timeout = humantime::parse_duration(text).map_err(|error| format!("timeout: {text:?}: {error}"))?;
    let fits = (Duration::from_millis(1)..=TIMEOUT_MAX).contains(&timeout);
    if fits { Ok(timeout) } else { Err("timeout: must be 1ms to 7days".to_owned()) }
}

fn signing_keys(files: &[PathBuf]) -> Result<SigningKeys, String> {
    SigningKeys::read(files).map_err(|reason| format!("signing_keys: {reason}"))
}

/// Whom to trust. What `is_plain` HTTP alone needs nobody.
fn tls(ca_file: Option<&Path>, is_plain: bool) -> Result<rustls::ClientConfig, String> {
    let authorities = match ca_file {
        Some(file) => authorities::read(file).map_err(|reason| format!("ca_file: {}: {reason}", file.display()))?,
        None if is_plain => rustls::RootCertStore::empty(),
        None => authorities::of_the_system(),
    };
    if authorities.is_empty() && !is_plain {
        return Err("ca_file: must be there, for the system has no certificate authorities".to_owned());
    }
    client::tls(authorities)
}
