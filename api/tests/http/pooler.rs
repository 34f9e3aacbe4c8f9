//! With a transaction pooler in front of Postgres, of any version: statements of one transaction share a connection of the server, no others do.

use local_pg::Pooler;
use reqwest::{Method, StatusCode};
use tokio::task::{JoinSet, block_in_place};

use crate::support::{App, Setup, TestDb};

/// In front of the server of a database, for the api's role.
fn before(database: &TestDb) -> Pooler {
    let (user, server) = database.api_url().split_once("://").unwrap().1.rsplit_once('@').unwrap();
    let (name, password) = user.split_once(':').unwrap();
    block_in_place(|| Pooler::before(server.split('/').next().unwrap(), &[(name, password)])).unwrap()
}

/// Everything that the pool is for, on a task and a queue of its own. Each answer must be the right one: with statements mixed up it would be an
/// error, or another statement's.
async fn everything(address: std::net::SocketAddr, number: usize) {
    let client = reqwest::Client::new();
    let ask = async |method: Method, path: String, expected: StatusCode| {
        let mut request = client.request(method.clone(), format!("http://{address}{path}"));
        if method == Method::POST && path.starts_with("/tasks?") {
            request = request.header("idempotency-key", format!("\"{number}\"")).json(&number);
        }
        let answer = request.send().await.unwrap();
        let (status, body): (_, serde_json::Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, expected, "{method} {path}: {body}");
        body
    };
    let queue = format!("queue-{number}");
    let task = ask(Method::POST, format!("/tasks?queue={queue}&delay=1h"), StatusCode::CREATED).await;
    let id = task["id"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        let again = ask(Method::POST, format!("/tasks?queue={queue}&delay=1h"), StatusCode::OK).await;
        assert_eq!(again["id"], *id);
        let paused = ask(Method::POST, format!("/queues/{queue}/pause"), StatusCode::OK).await;
        assert_eq!((&paused["name"], &paused["paused"]), (&queue.as_str().into(), &true.into()));
        let explained = ask(Method::GET, format!("/tasks/{id}/explain"), StatusCode::OK).await;
        assert_eq!(explained["id"], *id);
        let resumed = ask(Method::POST, format!("/queues/{queue}/resume"), StatusCode::OK).await;
        assert_eq!((&resumed["name"], &resumed["paused"]), (&queue.as_str().into(), &false.into()));
        let list = ask(Method::GET, format!("/tasks?queue={queue}"), StatusCode::OK).await;
        assert_eq!(list["tasks"][0]["id"], *id, "{list}");
        let cancelled = ask(Method::POST, format!("/tasks/{id}/cancel"), StatusCode::OK).await;
        assert_eq!(cancelled["status"], "cancelled");
        let retried = ask(Method::POST, format!("/tasks/{id}/retry"), StatusCode::OK).await;
        assert_eq!(retried["status"], "queued");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apis_behind_a_transaction_pooler_never_run_each_others_statements() {
    let database = TestDb::migrated().await;
    let pooler = before(&database);
    let apis: [App; 2] = [
        Setup::default().on(database.clone()).behind(&pooler).start().await,
        Setup::default().on(database).behind(&pooler).start().await,
    ];
    let mut clients = JoinSet::new();
    for number in 0..12 {
        clients.spawn(everything(apis[number % 2].address, number));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}
