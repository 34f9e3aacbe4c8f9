//! Following a task by server-sent events.

use std::time::Duration;

use queue::finish::Outcome;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::support::{Answer, App, Setup, TestWorker, done, eventually, read_to_end};

/// One event stream, read event by event.
struct Events {
    response: Response,
    text: String,
}

/// An event as it came.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Events {
    async fn of(app: &App, id: &str, last: Option<&str>) -> Self {
        let mut request = app.request(Method::GET, &format!("/tasks/{id}/events"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        Self { response, text: String::new() }
    }

    /// The next block of lines; none: the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await.expect("an event");
            self.text += str::from_utf8(&chunk.unwrap()?).unwrap();
        }
    }

    /// The next event; comments and hints are skipped.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| -> Vec<String> {
                let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                lines.map(str::to_owned).collect()
            };
            if let [name] = &field("event")[..] {
                let data = serde_json::from_str(&field("data").join("\n")).unwrap();
                return Some(Event { name: name.clone(), id: field("id").join(""), data });
            }
        }
    }

    async fn expect(&mut self, name: &str, status: &str) -> Event {
        let event = self.next().await.expect("not the end");
        assert_eq!((event.name.as_str(), event.data["status"].as_str()), (name, Some(status)), "{event:?}");
        event
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_followed_from_its_submit_to_its_end() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let id = app.submit("", "{\"a\":\n1,\r\n\"b\": \"\\n\"}").await;
    let mut events = Events::of(&app, &id, None).await;
    let first = events.expect("status", "queued").await;
    assert_eq!(first.data, app.get(&format!("/tasks/{id}")).await.json(), "as it is read");
    assert_eq!(format!("\"{}\"", first.id), app.get(&format!("/tasks/{id}")).await.header("etag"));
    let claimed = worker.claim().await;
    assert_eq!(events.expect("status", "processing").await.data["attempt"], 1);
    for progress in ["0.25", "{\"step\":\n2}"] {
        worker.report(&claimed[0], progress).await;
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.name.as_str(), &event.data["id"], &event.data["attempt"]),
            ("progress", &id.clone().into(), &1.into())
        );
        assert_eq!(event.data["progress"], serde_json::from_str::<Value>(progress).unwrap());
    }
    worker.retry_later(&claimed[0], "flaky").await;
    assert_eq!(events.expect("status", "scheduled").await.data["error"], "flaky");
    app.database.execute("UPDATE taskrow.scheduled SET run_at = now()").await;
    queue::promote::promote(&mut app.database.connect().await).await.unwrap();
    events.expect("status", "queued").await;
    let claimed = worker.claim().await;
    assert_eq!(events.expect("status", "processing").await.data["attempt"], 2);
    assert_eq!(app.delete(&format!("/tasks/{id}")).await.status, 202);
    assert_eq!(events.expect("status", "processing").await.data["cancel_requested"], true);
    worker.finish(&claimed, |_| Outcome::Cancelled).await;
    events.expect("status", "cancelled").await;
    assert!(events.next().await.is_none(), "the stream has ended");
    assert_eq!(app.metric("taskrow_api_waiters").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_is_told_what_it_does_not_know() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let id = app.submit("", "1").await;
    let queued = Events::of(&app, &id, None).await.expect("status", "queued").await;
    let mut events = Events::of(&app, &id, Some(&queued.id)).await;
    assert!(events.block().await.unwrap().contains("nothing new"));
    let claimed = worker.claim().await;
    let processing = events.expect("status", "processing").await;
    drop(events);
    worker.report(&claimed[0], "0.5").await;
    let news = Events::of(&app, &id, Some(&processing.id)).await.expect("status", "processing").await;
    assert_eq!(news.data["progress"], 0.5);
    worker.finish(&claimed, |_| done("2")).await;
    let mut events = Events::of(&app, &id, Some(&news.id)).await;
    let end = events.expect("status", "done").await;
    assert!(events.next().await.is_none());
    // What EventSource does after any end of a stream; 204 makes it stop.
    let again = app.request(Method::GET, &format!("/tasks/{id}/events")).header("Last-Event-ID", end.id);
    let again = Answer::of(again).await;
    assert_eq!((again.status, again.text.as_str()), (StatusCode::NO_CONTENT, ""));
    Events::of(&app, &id, None).await.expect("status", "done").await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_a_problem() {
    let app = App::start().await;
    app.get("/tasks/019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40/events").await.problem(404, "task-not-found");
    app.get("/tasks/x/events").await.problem(404, "task-not-found");
    let id = app.submit("", "1").await;
    app.get(&format!("/tasks/{id}/events?wait=1")).await.problem(422, "invalid-option");
}

#[tokio::test]
async fn without_a_place_the_state_is_told_and_the_stream_ends() {
    let app = Setup::with(|args| args.wait.waiters = 0).start().await;
    let id = app.submit("", "1").await;
    let mut events = Events::of(&app, &id, None).await;
    events.expect("status", "queued").await;
    assert!(events.next().await.is_none());
    assert_eq!(app.metric("taskrow_api_waits_refused_total").await, Some(1.0));
}

#[tokio::test]
async fn a_hang_up_gives_the_place_up() {
    let app = App::start().await;
    let id = app.submit("", "1").await;
    let mut events = Events::of(&app, &id, None).await;
    events.expect("status", "queued").await;
    assert_eq!(app.metric("taskrow_api_waiters").await, Some(1.0));
    drop(events);
    eventually("its place is free", || async { app.metric("taskrow_api_waiters").await == Some(0.0) }).await;
}

#[tokio::test]
async fn clients_are_told_when_to_come_back() {
    let app = App::start().await;
    let id = app.submit("", "1").await;
    let mut stream = app.raw(&format!("GET /tasks/{id}/events HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    eventually("it waits", || async { app.metric("taskrow_api_waiters").await == Some(1.0) }).await;
    app.stop.cancel();
    let text = read_to_end(&mut stream).await;
    let retry = text.lines().find_map(|line| line.strip_prefix("retry: ")).expect("a hint").parse::<u64>().unwrap();
    assert!((1000..=5000).contains(&retry), "{text}");
}
