//! What every request passes through. `router::stack` has the order.

use std::{any::Any, panic::AssertUnwindSafe};

use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use service::readiness::Readiness;
use tokio::time::Instant;
use tracing::error;

use crate::{
    metrics::HttpMetrics,
    problem::{Kind, Problem},
};

/// Longest path with query, in bytes.
const URI_LIMIT: usize = 8 * 1024;

/// Counts requests by route. Paths that match no route share one label: they are up to the client.
pub(crate) async fn measure(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics.answered(method, route, response.status().as_u16(), started.elapsed());
    response
}

/// While the process drains, asks clients with open connections to come back on new ones, which other replicas will accept.
pub(crate) async fn close_while_stopping(State(readiness): State<Readiness>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if readiness.report().stopping {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Gives the errors of the libraries below us, which have no body, the form of all others.
pub(crate) async fn explain_errors(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if response.body().size_hint().exact() != Some(0) {
        return response;
    }
    let kind = match response.status() {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
        status if status.is_server_error() => Kind::Internal,
        _ => return response,
    };
    let detail = match kind {
        Kind::NotFound => "there is no such path".to_owned(),
        Kind::MethodNotAllowed => format!("{} does not take {method}", path.chars().take(200).collect::<String>()),
        _ => kind.meaning().to_owned(),
    };
    let mut explained = Problem::new(kind, detail).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        explained.headers_mut().insert(header::ALLOW, allow.clone());
    }
    explained
}

/// Refuses URIs that are out of all proportion.
pub(crate) async fn limit_uri(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if length > URI_LIMIT {
        let detail = format!("{length} bytes; the limit is {URI_LIMIT}");
        return Problem::new(Kind::UriTooLong, detail).with("limit_bytes", URI_LIMIT).into_response();
    }
    next.run(request).await
}

/// A bug in a handler ends its request, not the connection.
pub(crate) async fn catch_panics(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            error!(reason = reason(panic.as_ref()), "a handler panicked");
            Problem::new(Kind::Internal, Kind::Internal.meaning()).into_response()
        }
    }
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use http_body_util::BodyExt;
    use tower::Service;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_answer() {
        #[expect(clippy::panic, reason = "what is tested")]
        async fn handler() {
            panic!("secret")
        }
        let mut app: Router = Router::new().route("/", get(handler)).layer(from_fn(catch_panics));
        let response = app.call(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
}
