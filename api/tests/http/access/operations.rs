//! Every operation by every scope.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;
use service::tokens::{
    Scope::{self, Admin, Read, Submit},
    Secret,
};

use crate::support::{Answer, App, Client, Clients, Setup};

/// What each operation needs; none: it is for everybody. A second list on purpose: the API's own could be wrong.
#[rustfmt::skip]
const NEEDS: &[(&str, &str, Option<Scope>)] = &[
    ("POST",   "/tasks",                Some(Submit)),
    ("GET",    "/tasks",                Some(Read)),
    ("POST",   "/tasks/batch",          Some(Submit)),
    ("GET",    "/tasks/{id}",           Some(Read)),
    ("DELETE", "/tasks/{id}",           Some(Admin)),
    ("GET",    "/tasks/{id}/explain",   Some(Read)),
    ("GET",    "/tasks/{id}/events",    Some(Read)),
    ("POST",   "/tasks/{id}/cancel",    Some(Admin)),
    ("POST",   "/tasks/{id}/retry",     Some(Admin)),
    ("GET",    "/queues",               Some(Read)),
    ("PATCH",  "/queues/{name}",        Some(Admin)),
    ("POST",   "/queues/{name}/pause",  Some(Admin)),
    ("POST",   "/queues/{name}/resume", Some(Admin)),
    ("GET",    "/workers",              Some(Read)),
    ("GET",    "/problems",             None),
    ("GET",    "/problems/{slug}",      None),
];

/// And of what is not in the document.
#[rustfmt::skip]
const UNDOCUMENTED: &[(&str, &str, Option<Scope>)] = &[
    ("GET",  "/metrics",      Some(Read)),
    ("HEAD", "/tasks/{id}",   Some(Read)),
    ("PUT",  "/tasks/{id}",   Some(Admin)),
    ("GET",  "/live",         None),
    ("GET",  "/ready",        None),
    ("GET",  "/openapi.json", None),
    ("GET",  "/docs/",        None),
    ("GET",  "/",             None),
    ("GET",  "/nowhere",      None),
];

struct Guarded {
    app: App,
    secrets: Vec<(Scope, Secret)>,
}

impl Guarded {
    async fn start() -> Self {
        let mut clients = Clients::default();
        let secrets =
            Scope::ALL.into_iter().map(|scope| (scope, clients.add(scope.as_str(), &[scope], None))).collect();
        Self { app: Setup::default().guarded(clients.args()).start().await, secrets }
    }

    fn with(&self, scope: Scope) -> Client<'_> {
        let (_, secret) = self.secrets.iter().find(|(of, _)| *of == scope).unwrap();
        self.app.with(secret)
    }
}

async fn ask(client: &Client<'_>, method: &str, route: &str) -> Answer {
    let path =
        route.replace("{id}", "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40").replace("{name}", "q").replace("{slug}", "busy");
    Answer::of(client.request(Method::from_bytes(method.as_bytes()).unwrap(), &path)).await
}

#[tokio::test]
async fn each_operation_is_for_those_who_have_its_scope() {
    let guarded = Guarded::start().await;
    let nobody = Client { app: &guarded.app, secret: None };
    let stranger = guarded.app.with(&Secret::random().unwrap());
    for (method, route, need) in NEEDS.iter().chain(UNDOCUMENTED) {
        let place = format!("{method} {route}");
        for client in [&nobody, &stranger] {
            let status = ask(client, method, route).await.status.as_u16();
            assert_eq!(status == 401, need.is_some(), "{place}: {status}");
        }
        for scope in Scope::ALL {
            let status = ask(&guarded.with(scope), method, route).await.status.as_u16();
            let is_allowed = need.is_none_or(|need| need == scope || scope == Admin);
            assert_eq!(status == 403, !is_allowed, "{place} with {scope}: {status}");
            assert_ne!(status, 401, "{place} with {scope}");
        }
    }
}

/// A new operation must be added above, with who may do it.
#[tokio::test]
async fn the_document_names_the_scope_of_each_operation() {
    let document = App::start().await.get("/openapi.json").await.json();
    let scheme = &document["components"]["securitySchemes"]["token"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
    let mut known: BTreeMap<_, _> =
        NEEDS.iter().map(|(method, route, need)| ((*route, method.to_lowercase()), need)).collect();
    for (route, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let need = known.remove(&(route.as_str(), method.clone()));
            let need = need.unwrap_or_else(|| panic!("who may {method} {route}? Say so in NEEDS"));
            match need {
                Some(scope) => {
                    assert_eq!(operation["security"], json!([{"token": [scope.as_str()]}, {}]), "{method} {route}");
                    for status in ["401", "403", "429"] {
                        assert!(operation["responses"][status].is_object(), "{method} {route}: {status}");
                    }
                }
                None => assert!(operation.get("security").is_none(), "{method} {route}"),
            }
        }
    }
    assert!(known.is_empty(), "not in the document: {known:?}");
}

#[tokio::test]
async fn refusals_say_what_is_missing() {
    let guarded = Guarded::start().await;
    let (app, nobody) = (&guarded.app, Client { app: &guarded.app, secret: None });
    let missing = nobody.get("/queues").await;
    missing.problem(401, "unauthorized");
    assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"taskrow\"");
    for (authorization, error) in [("Basic YTpi", "invalid_request"), ("Bearer hunter2", "invalid_request")] {
        let answer = Answer::of(app.request(Method::GET, "/queues").header("authorization", authorization)).await;
        answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").contains(error), "{answer:?}");
        assert!(!answer.text.contains("hunter2"), "{answer:?}");
    }
    let stranger = Secret::random().unwrap();
    let unknown = app.with(&stranger).get("/queues").await;
    unknown.problem(401, "unauthorized");
    assert!(unknown.header("www-authenticate").contains("error=\"invalid_token\""), "{unknown:?}");
    assert!(!unknown.text.contains(stranger.reveal()), "{unknown:?}");
    let lacking = guarded.with(Submit).get("/queues").await;
    assert_eq!(lacking.problem(403, "forbidden")["scope"], "read");
    assert!(lacking.header("www-authenticate").contains("error=\"insufficient_scope\", scope=\"read\""), "{lacking:?}");
    for (reason, count) in [("no_token", 1), ("bad_token", 2), ("unknown_token", 1), ("scope", 1), ("queue", 0)] {
        let series = format!("taskrow_api_access_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(guarded.with(Read).series(&series).await, Some(format!("{series} {count}")));
    }
    assert_eq!(guarded.with(Read).series("taskrow_api_tokens ").await.as_deref(), Some("taskrow_api_tokens 4"));
}

/// The request is answered though its body never comes.
#[tokio::test]
async fn who_is_refused_is_refused_before_the_body() {
    let guarded = Guarded::start().await;
    let head = "POST /tasks HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    let mut stream = guarded.app.raw(head).await;
    let mut start = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut start).await.unwrap();
    assert_eq!(std::str::from_utf8(&start), Ok("HTTP/1.1 401"));
}

#[tokio::test]
async fn who_may_only_submit_does_not_get_to_see_results() {
    let guarded = Guarded::start().await;
    let submitter = guarded.with(Submit);
    assert_eq!(submitter.post_json("/tasks?wait=0", "1").await.problem(403, "forbidden")["scope"], "read");
    let preferring = submitter.json("/tasks", "1").header("prefer", "wait=0");
    assert_eq!(Answer::of(preferring).await.problem(403, "forbidden")["scope"], "read");
    submitter.submit("", "1").await;
    assert_eq!(guarded.app.database.number("SELECT count(*) FROM tasks").await, 1);
}

#[tokio::test]
async fn without_a_list_a_token_changes_nothing() {
    let app = App::start().await;
    let client = app.with(&Secret::random().unwrap());
    let id = client.submit("", "1").await;
    assert_eq!(client.post(&format!("/tasks/{id}/cancel")).await.status, 200);
    assert_eq!(app.metric("taskrow_api_tokens").await, Some(0.0));
}
