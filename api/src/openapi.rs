//! The OpenAPI document and the human docs, both made from the routes.

use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, HttpMethod, Ref, ResponseBuilder, ResponsesBuilder,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use service::tokens::Scope;

use crate::{
    access::OPERATIONS,
    problem::{Body, Kind},
    shapes::Patience,
};

/// What is not made from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Taskrow",
        description = "A task queue that needs only Postgres: submit tasks, read their results. At-least-once execution, exactly one recorded outcome. Errors are RFC 9457 problems; what is no HTTP, or has a head of over 32 KiB or 100 headers, is answered 400 or 431 without a body.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "tasks", description = "Submit, read, explain, cancel, retry"),
        (name = "queues", description = "What waits, pausing it, and what is accepted"),
        (name = "workers", description = "Who runs it"),
        (name = "problems", description = "What can go wrong"),
    ),
    components(schemas(Body, Patience)),
)]
struct Base;

/// Errors by operation. Not listed: those of any path (404, 405, 414) and of any moment (500).
#[rustfmt::skip]
const ERRORS: &[(&str, HttpMethod, &[Kind])] = {
    use HttpMethod::{Delete, Get, Patch, Post};
    use Kind::*;
    &[
        ("/tasks", Post, &[MalformedJson, MalformedRequest, InvalidHeader, RequestTimeout, KeyInUse, PayloadTooLarge, UnsupportedMediaType, UnstorablePayload, InvalidOption, IdempotencyKeyReused, QueueFull, DatabaseUnavailable, OutcomeUnknown, Busy, Stopping]),
        ("/tasks", Get, &[InvalidOption, DatabaseUnavailable]),
        ("/tasks/batch", Post, &[MalformedJson, MalformedRequest, InvalidHeader, RequestTimeout, KeyInUse, PayloadTooLarge, UnsupportedMediaType, InvalidBatch, InvalidOption, IdempotencyKeyReused, QueueFull, DatabaseUnavailable, OutcomeUnknown, Busy, Stopping]),
        ("/tasks/{id}", Get, &[TaskNotFound, InvalidOption, DatabaseUnavailable]),
        ("/tasks/{id}/events", Get, &[TaskNotFound, InvalidOption, DatabaseUnavailable]),
        ("/tasks/{id}", Delete, &[TaskNotFound, TaskFinal, InvalidOption, DatabaseUnavailable, OutcomeUnknown, Busy]),
        ("/tasks/{id}/explain", Get, &[TaskNotFound, InvalidOption, DatabaseUnavailable]),
        ("/tasks/{id}/cancel", Post, &[TaskNotFound, TaskFinal, InvalidOption, DatabaseUnavailable, OutcomeUnknown, Busy]),
        ("/tasks/{id}/retry", Post, &[TaskNotFound, TaskNotRetryable, UniqueKeyHeld, InvalidOption, DatabaseUnavailable, OutcomeUnknown]),
        ("/queues", Get, &[InvalidOption, DatabaseUnavailable]),
        ("/queues/{name}", Patch, &[MalformedJson, MalformedRequest, NotFound, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, InvalidOption, DatabaseUnavailable, OutcomeUnknown]),
        ("/queues/{name}/pause", Post, &[NotFound, InvalidOption, DatabaseUnavailable, OutcomeUnknown]),
        ("/queues/{name}/resume", Post, &[NotFound, InvalidOption, DatabaseUnavailable, OutcomeUnknown]),
        ("/workers", Get, &[InvalidOption, DatabaseUnavailable]),
        ("/problems/{slug}", Get, &[NotFound]),
    ]
};

/// And of those that not everybody may do.
const ACCESS_ERRORS: &[Kind] = &[Kind::Unauthorized, Kind::Forbidden, Kind::RateLimited];
/// The name of the security scheme.
const TOKEN: &str = "token";

/// The document before the routes are in it.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// `/openapi.json` and `/docs`.
pub(crate) fn router(mut document: utoipa::openapi::OpenApi) -> Router {
    for (path, method, kinds) in ERRORS {
        let Some(operation) = document.paths.paths.get_mut(*path).and_then(|item| operation(item, method)) else {
            continue;
        };
        let scope = scope(method, path);
        if let Some(scope) = scope {
            ask_for_token(operation, scope);
        }
        let access = if scope.is_some() { ACCESS_ERRORS } else { &[] };
        add_errors(operation, &[access, kinds].concat());
    }
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("taskrow_<43 characters>");
    let scheme = scheme.description(Some(
        "An API token with the scope that the operation names, or `admin`. Only where the operator has set up tokens.",
    ));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme.build()));
    let text = Bytes::from(document.to_pretty_json().expect("the document is made of text and numbers"));
    let serve = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    };
    let docs: Router = SwaggerUi::new("/docs").config(Config::from("/openapi.json").try_it_out_enabled(true)).into();
    docs.route("/openapi.json", get(serve))
}

fn operation<'a>(item: &'a mut PathItem, method: &HttpMethod) -> Option<&'a mut Operation> {
    match method {
        HttpMethod::Get => item.get.as_mut(),
        HttpMethod::Post => item.post.as_mut(),
        HttpMethod::Delete => item.delete.as_mut(),
        HttpMethod::Patch => item.patch.as_mut(),
        _ => None,
    }
}

fn scope(method: &HttpMethod, path: &str) -> Option<Scope> {
    let method = match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Patch => "PATCH",
        _ => return None,
    };
    OPERATIONS.iter().find(|(of, at, _)| *of == method && *at == path).map(|(_, _, scope)| *scope)
}

/// A token with this scope; or, where there are no tokens, none.
fn ask_for_token(operation: &mut Operation, scope: Scope) {
    let token = SecurityRequirement::new(TOKEN, [scope.as_str()]);
    operation.security = Some(vec![token, SecurityRequirement::default()]);
}

/// A response per status, which names the errors behind it.
fn add_errors(operation: &mut Operation, kinds: &[Kind]) {
    let mut responses = ResponsesBuilder::from(std::mem::take(&mut operation.responses));
    let mut statuses: Vec<_> = kinds.iter().map(|kind| kind.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let same = kinds.iter().filter(|kind| kind.status() == status);
        let lines: Vec<_> = same.map(|kind| format!("`{}`: {}", kind.path(), kind.meaning())).collect();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response =
            ResponseBuilder::new().description(lines.join("\n\n")).content("application/problem+json", content).build();
        responses = responses.response(status.as_str(), response);
    }
    operation.responses = responses.build();
}
