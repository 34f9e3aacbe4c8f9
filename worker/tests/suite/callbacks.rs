//! The end of a task is told by a task.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use queue::{NewTask, callbacks::KIND};
use worker::{Builder, Context, TaskError, Worker};

use crate::support::{
    queue::{Queue, task},
    worker::{slots, start},
};

type Told = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Runs `work`, which does as its payload says, and notes what is told of which task.
fn told() -> (Builder, Told) {
    let told = Told::default();
    let noted = told.clone();
    let note = move |task: Context| {
        let call: serde_json::Value = serde_json::from_str(task.payload().get()).expect("JSON");
        assert_eq!(call["url"], "https://a.example/");
        let event = &call["event"];
        let (id, what) = (event["data"]["id"].as_str().expect("an id"), event["type"].as_str().expect("a type"));
        noted.lock().expect("no panic").entry(id.to_owned()).or_default().push(what.to_owned());
        async { Ok::<_, TaskError>(()) }
    };
    let work = async |task: Context| match task.payload().get() {
        "1" => Ok(()),
        _ => Err(TaskError::fatal("as told")),
    };
    (Worker::builder().handler("work", work).handler(KIND, note), told)
}

fn with_callback(payload: &str) -> NewTask {
    NewTask { callback_url: Some("https://a.example/".into()), ..task("work", payload) }
}

/// Of tasks that end well, badly, cancelled before they start, and without anybody to tell.
#[tokio::test(flavor = "multi_thread")]
async fn each_end_is_told_once_by_whichever_worker() {
    let queue = Queue::new().await;
    let mut expected = BTreeMap::new();
    for number in 0..60 {
        let id = match number % 3 {
            0 => queue.submit_one(with_callback("1")).await,
            1 => queue.submit_one(with_callback("0")).await,
            _ => queue.submit_one(task("work", "1")).await,
        };
        match number % 3 {
            0 => expected.insert(id.to_string(), vec!["task.done".to_owned()]),
            1 => expected.insert(id.to_string(), vec!["task.failed".to_owned()]),
            _ => None,
        };
    }
    let (one, told_by_one) = told();
    let (two, told_by_two) = told();
    let _workers = [start(one, slots(4), queue.servers()), start(two, slots(4), queue.servers())];
    queue.counts(100, "SELECT count(*) FROM taskrow.outcomes").await;
    let mut all = told_by_one.lock().expect("no panic").clone();
    for (id, what) in &*told_by_two.lock().expect("no panic") {
        all.entry(id.clone()).or_default().extend(what.clone());
    }
    assert_eq!(all, expected);
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.callbacks").await, 0);
}
