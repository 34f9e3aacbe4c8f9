//! Everything that the previous release offers, on this release's schema.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    eventually::eventually,
    support::{database::Database, process::Process, release::Release, system::System},
};

/// An hour, in milliseconds: longer than any test.
const FOR_EVER: u64 = 3_600_000;
/// A second attempt is nothing to wait for.
const PATIENT: [(&str, &str); 2] = [("WORKER_RETRY_BASE", "1h"), ("WORKER_RETRY_CAP", "1h")];

/// Calls operations, and remembers which.
struct Client<'a> {
    api: &'a Process,
    called: BTreeSet<(String, String)>,
}

impl Client<'_> {
    /// Calls an operation, by its name in the document; `name` stands for the part in braces. The answer has to have this status.
    async fn call(&mut self, status: u16, method: &str, path: &str, name: &str, query: &str, body: &Value) -> Value {
        self.called.insert((method.to_lowercase(), path.to_owned()));
        let path = match path.split_once('{') {
            Some((before, rest)) => format!("{before}{name}{}", rest.split_once('}').expect("a pair of braces").1),
            None => path.to_owned(),
        };
        let (answered, answer) = self.api.call(method, &format!("{path}?{query}"), body).await;
        assert_eq!(answered, status, "{method} {path}?{query}: {answer}");
        answer
    }

    async fn submit(&mut self, options: &str, payload: Value) -> String {
        let task = self.call(201, "POST", "/tasks", "", options, &payload).await;
        task["id"].as_str().expect("an id").to_owned()
    }

    async fn get(&mut self, path: &str, name: &str, query: &str) -> Value {
        self.call(200, "GET", path, name, query, &Value::Null).await
    }

    /// Waits until the task stands so, alone and in the list.
    async fn reaches(&mut self, id: &str, status: &str) {
        eventually(async || {
            let task = self.get("/tasks/{id}", id, "").await;
            let page = self.get("/tasks", "", &format!("status={status}")).await;
            let listed = page["tasks"].as_array().expect("a list").iter().any(|task| task["id"] == id);
            (task["status"] == status && listed).then_some(()).ok_or_else(|| format!("not {status}: {task}"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_previous_release_works_on_this_schema() {
    let previous = Release::previous();
    let database = Database::empty().await;
    Release::current().migrates(database.url()).await;
    let mut old = System::start(&previous, database.url(), &PATIENT).await;
    let mut client = Client { api: &old.api, called: BTreeSet::new() };

    let done = client.submit("kind=echo", json!(1)).await;
    let failed = client.submit("kind=sleep", json!({"ms": "never"})).await;
    let again = client.submit("kind=sleep&timeout=100ms", json!({"ms": FOR_EVER})).await;
    let later = client.submit("delay=1h", json!(1)).await;
    let waits = client.submit("queue=nobody", json!(1)).await;
    let runs = client.submit("kind=sleep", json!({"ms": FOR_EVER})).await;
    let batch = client.call(201, "POST", "/tasks/batch", "", "", &json!([{"payload": 1}, {"payload": 2}])).await;
    assert_eq!(batch["tasks"].as_array().map(Vec::len), Some(2), "{batch}");
    for (id, status) in [
        (&done, "done"),
        (&failed, "failed"),
        (&again, "scheduled"),
        (&later, "scheduled"),
        (&waits, "queued"),
        (&runs, "processing"),
    ] {
        client.reaches(id, status).await;
    }
    assert_eq!(database.count("SELECT count(*) FROM taskrow.failures").await, 1, "the attempt that timed out");

    client.call(200, "DELETE", "/tasks/{id}", &waits, "", &Value::Null).await;
    client.call(200, "POST", "/tasks/{id}/cancel", &later, "", &Value::Null).await;
    client.call(202, "POST", "/tasks/{id}/cancel", &runs, "", &Value::Null).await;
    for id in [&waits, &later, &runs] {
        client.reaches(id, "cancelled").await;
    }
    client.call(200, "POST", "/queues/{name}/pause", "default", "", &Value::Null).await;
    client.call(200, "POST", "/tasks/{id}/retry", &failed, "", &Value::Null).await;
    client.reaches(&failed, "queued").await;
    client.call(200, "POST", "/queues/{name}/resume", "default", "", &Value::Null).await;
    client.reaches(&failed, "failed").await;
    for path in ["/queues", "/workers", "/problems"] {
        client.get(path, "", "").await;
    }
    client.get("/problems/{slug}", "not-found", "").await;
    let (_, document) = client.api.get("/openapi.json").await;
    assert_eq!(client.called, documented(&document), "called, documented");

    has_queue_metrics(&old.api).await;
    let ended = previous.run("worker", database.url(), &["cleanup"]).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(database.count("SELECT count(*) FROM tasks WHERE status <> 'missing'").await, 8, "the view");
    reads_alike(&old.api, &Release::current(), database.url(), &[done, failed, again, later, waits, runs]).await;
    old.stop().await;
}

/// Method and path of each operation of an OpenAPI document.
fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = |item: &Value| item.as_object().expect("methods").keys().cloned().collect::<Vec<_>>();
    paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|method| (method, path.clone()))).collect()
}

/// Waits for the figures that only the database has; the first scrape asks for them.
async fn has_queue_metrics(api: &Process) {
    eventually(async || {
        let text = api.text("/metrics").await;
        let found = text.lines().any(|line| line.starts_with("taskrow_queue_tasks{") && line.contains("scheduled"));
        found.then_some(()).ok_or(text)
    })
    .await;
}

/// Both releases say the same of a task; this one may say more.
async fn reads_alike(old: &Process, current: &Release, url: &str, ids: &[String]) {
    let new = Process::start(current, "api", url, &[]).await;
    new.ready().await;
    for id in ids {
        let path = format!("/tasks/{id}");
        let ((_, said), (_, says)) = (old.get(&path).await, new.get(&path).await);
        for (field, value) in said.as_object().expect("a task") {
            assert_eq!(says[field], *value, "{field} of {said}");
        }
    }
}
