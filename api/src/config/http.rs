//! Connections and requests.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Args;
use service::exit::Failure;

use super::{Size, positive};

/// Where the API listens unless told otherwise: everywhere, as a container must.
const BIND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
/// Default of `API_CONNECTIONS`.
const CONNECTIONS: usize = 10_000;
/// Default of `API_REQUEST_TIMEOUT`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of `API_HEAD_TIMEOUT`.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of `API_BODY_LIMIT`.
const BODY_LIMIT: Size = Size::of_mebibytes(1);
/// Default of `API_BATCH_BODY_LIMIT`.
const BATCH_BODY_LIMIT: Size = Size::of_mebibytes(32);
/// Default of `API_BODY_MEMORY`.
const BODY_MEMORY: Size = Size::of_mebibytes(256);

/// How the API listens and what it accepts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Address and port to listen on.
    #[arg(id = "api-bind", long, value_name = "ADDRESS", env = "API_BIND", default_value_t = BIND)]
    pub bind: SocketAddr,
    /// Most connections at once. When one more comes, the one that has waited longest for its client is closed; if all have requests
    /// under way, it waits. Each costs some 10 KiB, and up to 32 KiB more while the head of a request comes.
    #[arg(id = "api-connections", long, value_name = "N", env = "API_CONNECTIONS", default_value_t = CONNECTIONS)]
    pub connections: usize,
    /// Longest time for the head of a request to come, from its first byte on. Longer serves slow networks, shorter frees what stuck clients hold.
    #[arg(id = "api-head-timeout", long, value_name = "DURATION", env = "API_HEAD_TIMEOUT", default_value_t = HEAD_TIMEOUT.into())]
    pub head_timeout: humantime::Duration,
    /// Longest wait for a request's body, and after that for its answer. Longer serves slow networks and a slow database,
    /// shorter frees what stuck clients hold.
    #[arg(id = "api-request-timeout", long, value_name = "DURATION", env = "API_REQUEST_TIMEOUT", default_value_t = REQUEST_TIMEOUT.into())]
    pub request_timeout: humantime::Duration,
    /// Largest payload of POST /tasks.
    #[arg(id = "api-body-limit", long, value_name = "SIZE", env = "API_BODY_LIMIT", default_value_t = BODY_LIMIT)]
    pub body_limit: Size,
    /// Largest body of POST /tasks/batch.
    #[arg(id = "api-batch-body-limit", long, value_name = "SIZE", env = "API_BATCH_BODY_LIMIT", default_value_t = BATCH_BODY_LIMIT)]
    pub batch_body_limit: Size,
    /// Memory for the bodies of all requests being received; over it, 503.
    #[arg(id = "api-body-memory", long, value_name = "SIZE", env = "API_BODY_MEMORY", default_value_t = BODY_MEMORY)]
    pub body_memory: Size,
}

impl HttpArgs {
    pub(super) fn validate(&self) -> Result<(), Failure> {
        positive("API_CONNECTIONS", self.connections as u64)?;
        positive("API_HEAD_TIMEOUT", self.head_timeout.as_millis())?;
        positive("API_REQUEST_TIMEOUT", self.request_timeout.as_millis())?;
        positive("API_BODY_LIMIT", self.body_limit.bytes() as u64)?;
        positive("API_BATCH_BODY_LIMIT", self.batch_body_limit.bytes() as u64)?;
        if self.body_memory < self.batch_body_limit || self.body_memory < self.body_limit {
            return Err(Failure::usage("API_BODY_MEMORY must be at least API_BODY_LIMIT and API_BATCH_BODY_LIMIT"));
        }
        // Permits of one request are counted in 32 bits.
        if u32::try_from(self.body_memory.bytes()).is_err() {
            return Err(Failure::usage("API_BODY_MEMORY must be below 4GiB"));
        }
        Ok(())
    }
}

impl Default for HttpArgs {
    fn default() -> Self {
        Self {
            bind: BIND,
            connections: CONNECTIONS,
            head_timeout: HEAD_TIMEOUT.into(),
            request_timeout: REQUEST_TIMEOUT.into(),
            body_limit: BODY_LIMIT,
            batch_body_limit: BATCH_BODY_LIMIT,
            body_memory: BODY_MEMORY,
        }
    }
}
