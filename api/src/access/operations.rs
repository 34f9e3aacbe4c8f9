//! The scope that each operation needs.

use axum::http::Method;
use service::tokens::Scope::{self, Admin, Read, Submit};

/// What a request must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Scope(Scope),
}

/// Tells of all queues at once.
pub(super) const METRICS: &str = "/metrics";

/// The operations that are not for everybody, by method and route. The OpenAPI document is made from it, too.
#[rustfmt::skip]
pub(crate) const OPERATIONS: &[(&str, &str, Scope)] = &[
    ("POST",   "/tasks",                Submit),
    ("POST",   "/tasks/batch",          Submit),
    ("GET",    "/tasks",                Read),
    ("GET",    "/tasks/{id}",           Read),
    ("GET",    "/tasks/{id}/events",    Read),
    ("GET",    "/tasks/{id}/explain",   Read),
    ("GET",    "/queues",               Read),
    ("GET",    "/workers",              Read),
    ("GET",    METRICS,                 Read),
    ("DELETE", "/tasks/{id}",           Admin),
    ("POST",   "/tasks/{id}/cancel",    Admin),
    ("POST",   "/tasks/{id}/retry",     Admin),
    ("PATCH",  "/queues/{name}",        Admin),
    ("POST",   "/queues/{name}/pause",  Admin),
    ("POST",   "/queues/{name}/resume", Admin),
];

/// What is for everybody: it holds no data. Probes come from the kubelet, which has no token.
const OPEN: &[&str] = &["/", "/live", "/ready", "/openapi.json", "/problems", "/problems/{slug}"];
/// The docs, in several routes.
const DOCS: &str = "/docs";

/// What a request must bring. What nobody has thought of needs the most.
pub(super) fn need(method: &Method, route: &str) -> Need {
    // A GET without its body.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let listed = OPERATIONS.iter().find(|(of, at, _)| *at == route && *of == method.as_str());
    match listed {
        Some((_, _, scope)) => Need::Scope(*scope),
        None if OPEN.contains(&route) || is_docs(route) => Need::Nothing,
        None => Need::Scope(Admin),
    }
}

fn is_docs(route: &str) -> bool {
    route.strip_prefix(DOCS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_needs_admin() {
        for (method, route, needed) in [
            (Method::GET, "/tasks/{id}", Need::Scope(Read)),
            (Method::HEAD, "/tasks/{id}", Need::Scope(Read)),
            (Method::PUT, "/tasks/{id}", Need::Scope(Admin)),
            (Method::GET, "/secrets", Need::Scope(Admin)),
            (Method::GET, "/docsecrets", Need::Scope(Admin)),
            (Method::GET, "/docs/{*rest}", Need::Nothing),
            (Method::GET, "/live", Need::Nothing),
        ] {
            assert_eq!(need(&method, route), needed, "{method} {route}");
        }
    }
}
