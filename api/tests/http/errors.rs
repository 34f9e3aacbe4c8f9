//! Errors of any route, and those of POST /tasks. All are problems, and none is a 500.

use reqwest::Method;

use crate::support::{Answer, App, Setup, redacted};

#[tokio::test]
async fn bad_bodies_are_refused() {
    let app = Setup::with(|args| args.http.body_limit = api::config::Size::of_bytes(1000)).start().await;
    for (body, status, slug) in [
        ("", 400, "malformed-json"),
        ("{", 400, "malformed-json"),
        ("{} {}", 400, "malformed-json"),
        ("{'a': 1}", 400, "malformed-json"),
        ("\"\\u0000\"", 422, "unstorable-payload"),
        ("{\"a\\u0000\": 1}", 422, "unstorable-payload"),
        ("\"\\ud83d\"", 422, "unstorable-payload"),
        ("1e400000", 422, "unstorable-payload"),
        ("[1e-400000]", 422, "unstorable-payload"),
    ] {
        app.post_json("/tasks", body).await.problem(status, slug);
    }
    app.post_json("/tasks", &b"\"\xff\""[..]).await.problem(400, "malformed-json");
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    app.post_json("/tasks", deep).await.problem(422, "unstorable-payload");
    let fitting = format!("\"{}\"", "x".repeat(998));
    assert_eq!(app.post_json("/tasks", fitting).await.status, 201);
    let large = format!("\"{}\"", "x".repeat(999));
    let problem = app.post_json("/tasks", large).await.problem(413, "payload-too-large");
    assert_eq!(problem["limit_bytes"], 1000);
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 1);
}

#[tokio::test]
async fn the_default_limit_is_a_mebibyte_and_clients_far_over_it_get_their_answer() {
    let app = App::start().await;
    let nested = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    app.post_json("/tasks", nested).await.problem(422, "unstorable-payload");
    for size in [(1 << 20) + 1, 5 << 20] {
        let problem = app.post_json("/tasks", vec![b' '; size]).await.problem(413, "payload-too-large");
        assert_eq!(problem["limit_bytes"], 1 << 20);
    }
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let app = App::start().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/x-ndjson", "json"] {
        let request = app.request(Method::POST, "/tasks").header("content-type", content_type).body("{}");
        Answer::of(request).await.problem(415, "unsupported-media-type");
    }
    Answer::of(app.request(Method::POST, "/tasks").body("{}")).await.problem(415, "unsupported-media-type");
    let compressed = app.json("/tasks", "{}").header("content-encoding", "gzip");
    Answer::of(compressed).await.problem(415, "unsupported-media-type");
    for content_type in ["application/json; charset=utf-8", "application/vnd.api+json"] {
        let request = app.request(Method::POST, "/tasks").header("content-type", content_type).body("{}");
        assert_eq!(Answer::of(request).await.status, 201, "{content_type}");
    }
}

#[tokio::test]
async fn bad_options_are_named() {
    let app = App::start().await;
    for (query, option) in [
        ("?colour=red", "colour"),
        ("?queue=a&queue=b", "queue"),
        ("?queue=a%20b", "queue"),
        ("?kind=", "kind"),
        ("?priority=101", "priority"),
        ("?priority=1.5", "priority"),
        ("?delay=-1s", "delay"),
        ("?delay=400days", "delay"),
        ("?run_at=soon", "run_at"),
        ("?run_at=2027-01-01T00:00:00Z&delay=1", "run_at"),
        ("?max_attempts=0", "max_attempts"),
        ("?timeout=8days", "timeout"),
    ] {
        let problem = app.post_json(&format!("/tasks{query}"), "1").await.problem(422, "invalid-option");
        assert_eq!(problem["option"], option, "{query}");
    }
    let long = format!("?{}=1", "x".repeat(5000));
    let answer = app.post_json(&format!("/tasks{long}"), "1").await;
    answer.problem(422, "invalid-option");
    assert!(answer.text.len() < 1000, "{answer:?}");
    insta::assert_json_snapshot!(redacted(app.post_json("/tasks?priority=high", "1").await.json()), @r#"
    {
      "detail": "priority: must be an integer",
      "option": "priority",
      "status": 422,
      "title": "Invalid option",
      "type": "/problems/invalid-option"
    }
    "#);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told() {
    let app = App::start().await;
    for path in ["/nope", "/tasks/", "/tasks/1/2/3", "/docs/nope.js", "/problems/nope", "/queues/a%20b/pause"] {
        let method = if path.ends_with("pause") { Method::POST } else { Method::GET };
        Answer::of(app.request(method, path)).await.problem(404, "not-found");
    }
    let id = app.submit("", "1").await;
    for (method, path, allow) in [
        (Method::PUT, "/tasks", "GET,HEAD,POST"),
        (Method::GET, "/tasks/batch", "POST"),
        (Method::PATCH, &format!("/tasks/{id}"), "DELETE,GET,HEAD"),
        (Method::GET, &format!("/tasks/{id}/cancel"), "POST"),
        (Method::DELETE, "/queues", "GET,HEAD"),
        (Method::GET, "/queues/default/pause", "POST"),
        (Method::POST, "/ready", "GET,HEAD"),
    ] {
        let answer = Answer::of(app.request(method, path)).await;
        answer.problem(405, "method-not-allowed");
        let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{path}");
    }
}

#[tokio::test]
async fn odd_uris_are_refused() {
    let app = App::start().await;
    app.get(&format!("/tasks?queue={}", "x".repeat(9000))).await.problem(414, "uri-too-long");
    for path in ["/tasks/%ff", "/problems/%ff", "/docs/%ff"] {
        app.get(path).await.problem(400, "malformed-request");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let app = App::start().await;
    let id = app.submit("", "1").await;
    for path in [&format!("/tasks/{id}"), "/tasks", "/queues", "/live", "/openapi.json"] {
        let head = Answer::of(app.request(Method::HEAD, path)).await;
        assert_eq!(head.status, 200, "{path}");
        assert!(head.text.is_empty() && head.header("content-length") != "0", "{path}: {head:?}");
    }
}

#[tokio::test]
async fn every_problem_explains_itself() {
    let app = App::start().await;
    let list = app.get("/problems").await;
    insta::assert_json_snapshot!("problems", list.json());
    for problem in list.json()["problems"].as_array().unwrap() {
        let explained = app.get(problem["type"].as_str().unwrap()).await;
        assert_eq!(explained.json(), *problem);
    }
}
