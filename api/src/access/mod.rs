//! Who may do what: the one place where a request meets the list of tokens.
//!
//! - `operations`: the scope that each operation needs. What is not listed there needs `admin`, so a route that somebody forgot is shut
//! - [`Access::refuse`]: asked by the middleware about every request, before its body is read
//! - `rate`: how fast a client may ask; `client_address`: where a request comes from; `recent`: what is remembered of clients
//! - [`Caller`]: in a handler, whose request it is and which queues it reaches
//!
//! A token may be limited to queues. It submits only there (403: the client has named the queue itself). To it, tasks of other queues do not
//! exist: 404, as for an id that nobody has, for ids are easy to guess (neighbours in a batch are neighbours) and a 403 would tell that
//! there is one. Lists leave them out. What tells of all queues at once (`/metrics`) is not for such a token.
//!
//! Without a list of tokens and a limit none of this is looked at.

mod caller;
mod client_address;
mod operations;
mod rate;
mod recent;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use service::tokens::{Refusal, Scope, Tokens, challenge};

pub(crate) use self::{caller::Caller, client_address::Peer, operations::OPERATIONS};
use self::{
    operations::{METRICS, Need, need},
    rate::RateLimit,
};
use crate::{
    config::RateArgs,
    metrics::AccessMetrics,
    problem::{Kind, Problem},
};

/// Why a request was refused, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NoToken,
    BadToken,
    UnknownToken,
    Scope,
    Queue,
    Rate,
}

impl Reason {
    pub(crate) const ALL: [Self; 6] =
        [Self::NoToken, Self::BadToken, Self::UnknownToken, Self::Scope, Self::Queue, Self::Rate];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
            Self::UnknownToken => "unknown_token",
            Self::Scope => "scope",
            Self::Queue => "queue",
            Self::Rate => "rate",
        }
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::NoToken,
            Refusal::Malformed => Self::BadToken,
            Refusal::Unknown => Self::UnknownToken,
        }
    }
}

/// The list of tokens, and the limit, if there are any. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    tokens: Option<Tokens>,
    rate: Option<Arc<RateLimit>>,
    metrics: AccessMetrics,
}

impl Access {
    pub(crate) fn new(tokens: Option<Tokens>, rate: &RateArgs, metrics: AccessMetrics) -> Self {
        Self { tokens, rate: RateLimit::new(rate).map(Arc::new), metrics }
    }

    /// Whether everybody may do everything.
    pub(crate) fn is_open(&self) -> bool {
        self.tokens.is_none()
    }

    /// Whether requests must tell their [`Peer`].
    pub(crate) fn asks_for_peers(&self) -> bool {
        self.rate.is_some()
    }

    /// The answer to a request that may not be served. None: it may, and its handler finds out from the request whose it is.
    pub(crate) fn refuse(&self, request: &mut Request, route: Option<&MatchedPath>) -> Option<Response> {
        if self.tokens.is_none() && self.rate.is_none() {
            return None;
        }
        // There is nothing at a path that no route has.
        let route = route?.as_str();
        let Need::Scope(scope) = need(request.method(), route) else { return None };
        // Whoever watches over the system must see it when it is busy.
        let rate = self.rate.as_ref().filter(|_| route != METRICS);
        let Some(tokens) = &self.tokens else {
            return rate.and_then(|rate| self.too_fast(rate.check_address(request)));
        };
        let token = match tokens.authenticate(request.headers()) {
            Ok(token) => token,
            Err(refusal) => {
                let too_fast = rate.and_then(|rate| self.too_fast(rate.check_address(request)));
                return Some(too_fast.unwrap_or_else(|| {
                    let problem = Problem::new(Kind::Unauthorized, refusal.meaning());
                    self.refused(refusal.into(), problem, refusal.challenge())
                }));
            }
        };
        if let Some(too_fast) = rate.and_then(|rate| self.too_fast(rate.check_token(&token))) {
            return Some(too_fast);
        }
        if !token.scopes.allow(scope) {
            return Some(self.refused(Reason::Scope, lacks(scope), challenge(scope)));
        }
        if route == METRICS && token.queues.is_some() {
            let detail = "metrics tell of all queues, and the token is limited to some";
            return Some(self.refused(Reason::Queue, Problem::new(Kind::Forbidden, detail), challenge(scope)));
        }
        request.extensions_mut().insert(Caller::of(token));
        None
    }

    fn refused(&self, reason: Reason, problem: Problem, challenge: HeaderValue) -> Response {
        self.metrics.refused(reason);
        let mut response = problem.into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    }

    fn too_fast(&self, checked: Result<(), Duration>) -> Option<Response> {
        let wait = checked.err()?;
        self.metrics.refused(Reason::Rate);
        Some(Problem::new(Kind::RateLimited, Kind::RateLimited.meaning()).after(wait).into_response())
    }
}

/// A 403 that names the scope.
fn lacks(scope: Scope) -> Problem {
    Problem::new(Kind::Forbidden, format!("the token lacks the scope {scope}")).with("scope", scope.as_str())
}
