//! Tokens that reach some queues only.

use reqwest::Method;
use serde_json::{Value, json};
use service::tokens::{Scope::Admin, Secret};

use crate::support::{Answer, App, Client, Clients, Setup, TestWorker, done};

/// Nobody has it.
const ABSENT: &str = "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40";

struct Guarded {
    app: App,
    all: Secret,
    /// Reaches `default` and `mail`.
    some: Secret,
}

impl Guarded {
    async fn start() -> Self {
        let mut clients = Clients::default();
        let all = clients.add("all", &[Admin], None);
        let some = clients.add("some", &[Admin], Some(&["default", "mail"]));
        Self { app: Setup::default().guarded(clients.args()).start().await, all, some }
    }

    fn all(&self) -> Client<'_> {
        self.app.with(&self.all)
    }

    fn some(&self) -> Client<'_> {
        self.app.with(&self.some)
    }
}

#[tokio::test]
async fn it_submits_only_there() {
    let guarded = Guarded::start().await;
    let client = guarded.some();
    client.submit("", "1").await;
    client.submit("?queue=mail", "1").await;
    assert_eq!(client.post_json("/tasks?queue=other", "1").await.problem(403, "forbidden")["queue"], "other");
    let batch = r#"[{"payload": 1, "queue": "mail"}, {"payload": 2, "queue": "other"}]"#;
    assert_eq!(client.post_json("/tasks/batch", batch).await.problem(403, "forbidden")["queue"], "other");
    let batch = r#"[{"payload": 1, "queue": "mail"}, {"payload": 2}]"#;
    assert_eq!(client.post_json("/tasks/batch", batch).await.status, 201);
    assert_eq!(guarded.app.database.number("SELECT count(*) FROM tasks").await, 4);
}

/// Its answers about a task of another queue are those about a task that nobody has, in every byte but the id.
#[tokio::test]
async fn tasks_elsewhere_do_not_exist() {
    let guarded = Guarded::start().await;
    let client = guarded.some();
    let (own, hidden) = (client.submit("", "1").await, guarded.all().submit("?queue=other", "1").await);
    for (method, route) in [
        (Method::GET, "/tasks/{id}"),
        (Method::HEAD, "/tasks/{id}"),
        // Waiting for it would tell that it is there.
        (Method::GET, "/tasks/{id}?wait=60"),
        (Method::GET, "/tasks/{id}/events"),
        (Method::GET, "/tasks/{id}/explain"),
        (Method::POST, "/tasks/{id}/cancel"),
        (Method::DELETE, "/tasks/{id}"),
        (Method::POST, "/tasks/{id}/retry"),
    ] {
        let of = async |id: &str| Answer::of(client.request(method.clone(), &route.replace("{id}", id))).await;
        let (hidden, absent) = (of(&hidden).await, of(ABSENT).await);
        assert_eq!(hidden.status, 404, "{method} {route}: {hidden:?}");
        let told = |answer: &Answer, id: &str| (answer.status, answer.text.replace(id, "ID"));
        assert_eq!(told(&hidden, named_id(&hidden)), told(&absent, ABSENT), "{method} {route}");
    }
    let status = |task: Answer| task.json()["status"].clone();
    assert_eq!(status(guarded.all().get(&format!("/tasks/{hidden}")).await), "queued", "nothing has happened to it");
    assert_eq!(status(client.get(&format!("/tasks/{own}")).await), "queued");
    assert_eq!(client.get(&format!("/tasks/{own}/explain")).await.status, 200);
    assert_eq!(client.post(&format!("/tasks/{own}/cancel")).await.status, 200);
    assert_eq!(client.post(&format!("/tasks/{own}/retry")).await.status, 200);
}

/// The id that a problem names.
fn named_id(answer: &Answer) -> &str {
    answer.text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("none")
}

#[tokio::test]
async fn lists_leave_out_what_is_elsewhere() {
    let guarded = Guarded::start().await;
    let mut worker = TestWorker::register(&guarded.app.database).await;
    let ended = guarded.all().submit("", "1").await;
    worker.finish_all(|_| done("1")).await;
    let client = guarded.some();
    for path in ["?queue=other", "?queue=other&delay=1h"] {
        guarded.all().submit(path, "1").await;
    }
    let cancelled = guarded.all().submit("?queue=other", "1").await;
    guarded.all().post(&format!("/tasks/{cancelled}/cancel")).await;
    let (waits, later) = (client.submit("?queue=mail", "1").await, client.submit("?delay=1h", "1").await);
    let listed = async |options: &str| -> Vec<Value> {
        let page = client.get(&format!("/tasks{options}")).await.json();
        page["tasks"].as_array().unwrap().iter().map(|task| task["id"].clone()).collect()
    };
    assert_eq!(listed("").await, [json!(later), json!(waits), json!(ended)]);
    assert_eq!(listed("?status=queued").await, [json!(waits)]);
    assert_eq!(listed("?status=scheduled").await, [json!(later)]);
    assert_eq!(listed("?status=done").await, [json!(ended)]);
    assert_eq!(listed("?queue=mail").await, [json!(waits)]);
    for options in ["?status=cancelled", "?queue=other", "?queue=other&status=queued"] {
        assert_eq!(listed(options).await, [json!(null); 0], "{options}");
    }
    assert_eq!(guarded.all().get("/tasks").await.json()["tasks"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn queues_workers_and_metrics_tell_of_its_queues_only() {
    let guarded = Guarded::start().await;
    let _worker = TestWorker::register(&guarded.app.database).await;
    let client = guarded.some();
    guarded.all().submit("?queue=other", "1").await;
    guarded.all().submit("?queue=mail", "1").await;
    guarded
        .app
        .database
        .execute(
            "UPDATE taskrow.workers SET queues = '{default,other}';
             INSERT INTO taskrow.workers (name, version, lease_ttl_ms, concurrency, queues, kinds)
             SELECT 'elsewhere', version, lease_ttl_ms, concurrency, '{other}', kinds FROM taskrow.workers",
        )
        .await;
    let names = |list: Value| list.as_array().unwrap().iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(client.get("/queues").await.json()["queues"].clone()), ["default", "mail"]);
    assert_eq!(names(guarded.all().get("/queues").await.json()["queues"].clone()), ["default", "mail", "other"]);
    let workers = client.get("/workers").await.json()["workers"].clone();
    assert_eq!(names(workers.clone()), ["tester"]);
    assert_eq!(workers[0]["queues"], json!(["default"]));
    let own = client.submit("", "1").await;
    let explained = client.get(&format!("/tasks/{own}/explain")).await;
    assert!(explained.text.contains("tester") && !explained.text.contains("other"), "{explained:?}");
    client.get("/metrics").await.problem(403, "forbidden");
    assert!(guarded.all().series("taskrow_ready ").await.is_some());
}

/// What another queue accepts is told to nobody who does not reach it.
#[tokio::test]
async fn a_strict_queue_elsewhere_is_like_any_other() {
    let guarded = Guarded::start().await;
    let request = guarded.all().request(Method::PATCH, "/queues/other").header("content-type", "application/json");
    assert_eq!(Answer::of(request.body(r#"{"kinds": ["email"]}"#)).await.status, 200);
    let client = guarded.some();
    let (one, batch) = ("/tasks?queue=other&kind=x", r#"[{"payload": 1, "queue": "other", "kind": "x"}]"#);
    for answer in [client.post_json(one, "1").await, client.post_json("/tasks/batch", batch).await] {
        assert_eq!(answer.problem(403, "forbidden")["queue"], "other");
        assert!(!answer.text.contains("email"), "{answer:?}");
    }
    guarded.all().post_json("/tasks/batch", batch).await.problem(422, "invalid-batch");
}

#[tokio::test]
async fn it_changes_its_queues_only() {
    let guarded = Guarded::start().await;
    let client = guarded.some();
    for action in ["pause", "resume"] {
        let refused = client.post(&format!("/queues/other/{action}")).await;
        assert_eq!(refused.problem(403, "forbidden")["queue"], "other");
        assert_eq!(client.post(&format!("/queues/mail/{action}")).await.status, 200);
    }
    let patch = async |queue: &str| {
        let request =
            client.request(Method::PATCH, &format!("/queues/{queue}")).header("content-type", "application/json");
        Answer::of(request.body(r#"{"kinds": ["email"]}"#)).await
    };
    patch("other").await.problem(403, "forbidden");
    assert_eq!(patch("mail").await.status, 200);
}
