//! How fast a client may ask: so many requests in a time, per token, or per address where there is none.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::extract::Request;
use governor::{
    RateLimiter,
    clock::{Clock, MonotonicClock},
};
use ipnet::IpNet;
use service::tokens::Token;

use super::{client_address::client_address, recent::Recent};
use crate::config::RateArgs;

type Limiter<K> = RateLimiter<K, Recent<K>, MonotonicClock>;

/// The allowances of this process' clients. Tokens and addresses are remembered apart, so that a flood of addresses makes no token forgotten.
#[derive(Debug)]
pub(super) struct RateLimit {
    tokens: Limiter<Arc<str>>,
    addresses: Limiter<IpAddr>,
    trusted: Vec<IpNet>,
}

impl RateLimit {
    /// As configured; none: everybody may ask as fast as they can.
    pub(super) fn new(args: &RateArgs) -> Option<Self> {
        let quota = args.quota()?;
        let tokens = RateLimiter::new(quota, Recent::default(), MonotonicClock);
        let addresses = RateLimiter::new(quota, Recent::default(), MonotonicClock);
        Some(Self { tokens, addresses, trusted: args.trusted_proxies.clone() })
    }

    /// Counts a request of a token. An error is how long to wait.
    pub(super) fn check_token(&self, token: &Token) -> Result<(), Duration> {
        self.tokens.check_key(&token.name).map_err(|not_until| not_until.wait_time_from(MonotonicClock.now()))
    }

    /// Counts a request of whoever has no token.
    pub(super) fn check_address(&self, request: &Request) -> Result<(), Duration> {
        let address = client_address(request.extensions(), request.headers(), &self.trusted);
        self.addresses.check_key(&address).map_err(|not_until| not_until.wait_time_from(MonotonicClock.now()))
    }
}
