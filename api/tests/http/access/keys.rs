//! Idempotency keys belong to the client that sent them.

use service::tokens::{Scope::Submit, Secret};

use crate::support::{Answer, App, Clients, Setup};

async fn post(app: &App, secret: &Secret, body: &'static str) -> Answer {
    Answer::of(app.with(secret).json("/tasks", body).header("idempotency-key", "\"k\"")).await
}

#[tokio::test]
async fn keys_of_two_clients_never_meet_and_outlive_a_change_of_secret() {
    let mut clients = Clients::default();
    let one = clients.add("one", &[Submit], None);
    let one_renewed = clients.add("one", &[Submit], None);
    let two = clients.add("two", &[Submit], None);
    let app = Setup::default().guarded(clients.args()).start().await;
    let first = post(&app, &one, "1").await;
    assert_eq!(first.status, 201);
    // Another body under the same key would be refused.
    let other = post(&app, &two, "2").await;
    assert_eq!(other.status, 201, "{other:?}");
    let again = post(&app, &one_renewed, "1").await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (200, "true"), "{again:?}");
    assert_eq!(again.json()["id"], first.json()["id"]);
    post(&app, &one_renewed, "2").await.problem(422, "idempotency-key-reused");
    let batch = app.with(&two).json("/tasks/batch", r#"[{"payload": 1}]"#).header("idempotency-key", "\"b\"");
    assert_eq!(Answer::of(batch).await.status, 201);
    let batch = app.with(&one).json("/tasks/batch", r#"[{"payload": 2}]"#).header("idempotency-key", "\"b\"");
    assert_eq!(Answer::of(batch).await.status, 201);
}
