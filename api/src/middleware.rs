//! What every request passes through: one layer, for each costs every request some allocations.

use std::{any::Any, panic::AssertUnwindSafe};

use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::error;

use crate::{
    problem::{Kind, Problem},
    state::AppState,
};

/// Marks an answer that waited for something else than this process: how long it took says nothing about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untimed;

/// Longest path with query, in bytes.
const URI_LIMIT: usize = 8 * 1024;

/// Answers a request by its route. A panic becomes an answer before it is counted; so does every error that has no body yet.
pub(crate) async fn around(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = match too_long(&uri) {
        Some(problem) => problem.into_response(),
        // Before the body is read: who may not send it sends it in vain.
        None => match state.access.refuse(&mut request, route.as_ref()) {
            Some(refused) => refused,
            None => catch_panic(next.run(request)).await,
        },
    };
    let mut response = explain_error(&method, &uri, answer);
    // While the process drains, clients with open connections come back on new ones, which other replicas will accept.
    if state.readiness.is_stopping() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // Paths that match no route share one label: they are up to the client.
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let took = response.extensions().get::<Untimed>().is_none().then(|| started.elapsed());
    state.metrics.http.answered(method_label(&method), route, response.status().as_u16(), took);
    response
}

/// Refuses URIs that are out of all proportion.
fn too_long(uri: &Uri) -> Option<Problem> {
    let length = uri.path_and_query().map_or(0, |text| text.as_str().len());
    let problem = || {
        let detail = format!("{length} bytes; the limit is {URI_LIMIT}");
        Problem::new(Kind::UriTooLong, detail).with("limit_bytes", URI_LIMIT)
    };
    (length > URI_LIMIT).then(problem)
}

/// Gives the errors of the libraries below us, which have no body or one of plain text, the form of all others.
fn explain_error(method: &Method, uri: &Uri, response: Response) -> Response {
    if response.status().is_success() || !is_unexplained(&response) {
        return response;
    }
    let kind = match response.status() {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
        StatusCode::BAD_REQUEST => Kind::MalformedRequest,
        status if status.is_server_error() => Kind::Internal,
        _ => return response,
    };
    let detail = match kind {
        Kind::NotFound => "there is no such path".to_owned(),
        Kind::MethodNotAllowed => {
            format!("{} does not take {method}", uri.path().chars().take(200).collect::<String>())
        }
        _ => kind.meaning().to_owned(),
    };
    let mut explained = Problem::new(kind, detail).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        explained.headers_mut().insert(header::ALLOW, allow.clone());
    }
    explained
}

fn is_unexplained(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_plain_text = || content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    response.body().size_hint().exact() == Some(0) || is_plain_text()
}

/// A bug in a handler ends its request, not the connection.
async fn catch_panic(answer: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
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
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_answer() {
        #[expect(clippy::panic, reason = "what is tested")]
        async fn handler() -> Response {
            panic!("secret")
        }
        let response = catch_panic(handler()).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
}
