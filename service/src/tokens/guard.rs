//! Keeps routes of a process that is no API for those who bring a token with a scope.

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Scope, Tokens, challenge};

/// Routes that tell of all queues, for those only who may read all of them. Without a list of tokens, as they are.
pub fn guard(routes: Router, tokens: Option<Tokens>) -> Router {
    match tokens {
        Some(tokens) => routes.route_layer(from_fn_with_state(tokens, check)),
        None => routes,
    }
}

async fn check(State(tokens): State<Tokens>, request: Request, next: Next) -> Response {
    let token = match tokens.authenticate(request.headers()) {
        Ok(token) => token,
        Err(refusal) => return refused(StatusCode::UNAUTHORIZED, refusal.meaning(), refusal.challenge()),
    };
    if !token.scopes.allow(Scope::Read) {
        return refused(StatusCode::FORBIDDEN, "the token lacks the scope read", challenge(Scope::Read));
    }
    if token.queues.is_some() {
        let detail = "this tells of all queues, and the token is limited to some";
        return refused(StatusCode::FORBIDDEN, detail, challenge(Scope::Read));
    }
    next.run(request).await
}

/// A problem (RFC 9457) without a type of its own: only the API explains types.
fn refused(status: StatusCode, detail: &str, challenge: HeaderValue) -> Response {
    let body =
        json!({"type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail});
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::WWW_AUTHENTICATE, challenge);
    response
}
