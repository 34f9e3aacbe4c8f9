//! The OpenAPI document and the docs made from it.

use std::collections::BTreeSet;

use crate::support::App;

#[tokio::test]
async fn the_document_is_as_reviewed() {
    let app = App::start().await;
    let answer = app.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let mut document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    document["info"]["version"].take();
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn every_reference_resolves_and_every_operation_has_its_errors() {
    let document = App::start().await.get("/openapi.json").await;
    let schemas: BTreeSet<_> = document.json()["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
    for reference in document.text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains(name), "{name}");
    }
    for (path, item) in document.json()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let has_errors = responses.keys().any(|status| status.starts_with('4') || status.starts_with('5'));
            assert!(has_errors || path == "/problems", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn people_get_docs() {
    let app = App::start().await;
    for path in ["/", "/docs", "/docs/"] {
        let page = app.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text.contains("swagger-ui"), "{path}");
    }
    assert!(app.get("/docs/swagger-initializer.js").await.text.contains("/openapi.json"));
}
