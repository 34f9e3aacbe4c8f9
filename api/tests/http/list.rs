//! GET /tasks

use std::collections::BTreeSet;

use queue::finish::Outcome;

use crate::support::{App, TestWorker, done, redacted};

/// Walks all pages by their links; asserts that every page is within its limit and that no task comes twice.
async fn walk(app: &App, query: &str, limit: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut last = String::from("g");
    let mut path = format!("/tasks?{query}&limit={limit}").replace("?&", "?");
    loop {
        let answer = app.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let page = answer.json();
        let tasks = page["tasks"].as_array().unwrap();
        assert!(tasks.len() <= limit);
        for task in tasks {
            let id = task["id"].as_str().unwrap().to_owned();
            assert!(id < last, "newest first: {id} after {last}");
            last.clone_from(&id);
            found.insert(id);
        }
        let link = answer.header("link");
        assert_eq!(link.is_empty(), page["next_cursor"].is_null(), "{answer:?}");
        match link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) {
            Some(next) => {
                assert!(next.ends_with(page["next_cursor"].as_str().unwrap()));
                path = next.to_owned();
            }
            None => return found,
        }
    }
}

#[tokio::test]
async fn a_walk_meets_every_task_exactly_once_under_every_filter() {
    let app = App::start().await;
    let mut worker = TestWorker::register(&app.database).await;
    let mut submitted = BTreeSet::new();
    let mut by_lane = std::collections::BTreeMap::<_, BTreeSet<String>>::new();
    for number in 0..30 {
        let items: Vec<_> = (0..=number % 7).map(|item| format!(r#"{{"payload": {item}}}"#)).collect();
        app.post_json("/tasks/batch", format!("[{}]", items.join(","))).await;
        let (queue, kind) = (["default", "a/b"][number % 2], ["echo", "other"][number % 3 / 2]);
        let id = app.submit(&format!("?queue={queue}&kind={kind}"), "1").await;
        by_lane.entry((queue, kind)).or_default().insert(id.clone());
        submitted.insert(id);
    }
    let all = walk(&app, "", 7).await;
    assert!(all.is_superset(&submitted));
    assert_eq!(all.len() as i64, app.database.number("SELECT count(*) FROM tasks").await);
    assert_eq!(walk(&app, "", 500).await, all);

    let other = by_lane[&("a/b", "other")].clone();
    assert_eq!(walk(&app, "queue=a/b&kind=other", 3).await, other);
    let in_queue: BTreeSet<_> = other.union(&by_lane[&("a/b", "echo")]).cloned().collect();
    assert_eq!(walk(&app, "queue=a%2Fb", 4).await, in_queue);

    // Of those that the worker may claim: a third each is done, failed, and still running.
    let claimed = worker.claim().await;
    let third = claimed.len() / 3;
    worker.finish(&claimed[..third], |_| done("1")).await;
    worker.finish(&claimed[third..2 * third], |_| Outcome::Failed("broken".to_owned())).await;
    let ids = |tasks: &[queue::claim::Claimed]| tasks.iter().map(|task| task.id.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(walk(&app, "status=done", 5).await, ids(&claimed[..third]));
    assert_eq!(walk(&app, "status=failed", 5).await, ids(&claimed[third..2 * third]));
    assert_eq!(walk(&app, "status=processing", 5).await, ids(&claimed[2 * third..]));
    assert_eq!(walk(&app, "status=queued", 5).await.len(), all.len() - claimed.len());
    assert_eq!(walk(&app, "status=scheduled", 5).await.len(), 0);
    assert_eq!(walk(&app, "status=failed&queue=nope", 5).await.len(), 0);
}

#[tokio::test]
async fn a_page_looks_like_this() {
    let app = App::start().await;
    app.submit("?queue=q", "1").await;
    app.submit("?queue=q", "2").await;
    insta::assert_json_snapshot!("page", redacted(app.get("/tasks?limit=1&queue=q").await.json()));
}

#[tokio::test]
async fn large_tasks_make_short_pages() {
    let app = App::start().await;
    let payload = format!("\"{}\"", "x".repeat(1_000_000));
    for _ in 0..12 {
        app.submit("", &payload).await;
    }
    let page = app.get("/tasks?limit=100").await.json();
    assert_eq!(page["tasks"].as_array().unwrap().len(), 8, "8 MiB");
    assert_eq!(walk(&app, "", 100).await.len(), 12);
}

#[tokio::test]
async fn bad_filters_are_named() {
    let app = App::start().await;
    for (query, option) in [
        ("status=waiting", "status"),
        ("queue=a%20b", "queue"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("cursor=5", "cursor"),
        ("offset=5", "offset"),
        ("limit=5&limit=6", "limit"),
    ] {
        let problem = app.get(&format!("/tasks?{query}")).await.problem(422, "invalid-option");
        assert_eq!(problem["option"], option, "{query}");
    }
}
