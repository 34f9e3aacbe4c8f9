//! Handlers that misbehave in one batch with others that do not.

use std::{collections::HashMap, time::Duration};

use queue::Status;
use serde::Serialize;
use service::tasks::Tasks;
use worker::{Context, TaskError, Worker};

use crate::support::{
    queue::{Queue, task},
    worker::{slots, start},
};

/// More than any worker keeps.
const HUGE: usize = 100 * 1024 * 1024;
const MISDEEDS: [&str; 6] = ["huge", "deep", "nul", "no JSON", "panic", "leak"];

/// What a handler may return, and what cannot be told as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Text(String),
    Nested(serde_json::Value),
    Keys(HashMap<(u8, u8), u8>),
}

async fn misbehave(task: Context) -> Result<Answer, TaskError> {
    Ok(match task.parse::<String>()?.as_str() {
        "huge" => Answer::Text("x".repeat(HUGE)),
        "deep" => Answer::Nested((0..500).fold(serde_json::Value::Null, |inner, _| vec![inner].into())),
        "nul" => Answer::Text("\0".to_owned()),
        "no JSON" => Answer::Keys(HashMap::from([((1, 2), 3)])),
        "panic" => panic!("for no reason"),
        "leak" => {
            leak(&task);
            Answer::Text("leaked".to_owned())
        }
        _ => Answer::Text("done".to_owned()),
    })
}

/// Tasks that never end and hold the context, and memory that nobody frees.
fn leak(task: &Context) {
    for _ in 0..100 {
        let task = task.clone();
        Tasks::new().spawn_detached(async move {
            std::future::pending::<()>().await;
            drop(task);
        });
    }
    Box::leak(vec![1_u8; 1024 * 1024].into_boxed_slice());
}

#[tokio::test(flavor = "multi_thread")]
async fn misdeeds_of_some_handlers_leave_their_neighbours_the_worker_and_its_stop_alone() {
    let queue = Queue::new().await;
    let order = |order: &str| {
        let mut task = task("act", &format!("{order:?}"));
        task.options.max_attempts = 1;
        task
    };
    let mut batch = vec![order("good"); 64];
    for (nth, misdeed) in MISDEEDS.into_iter().enumerate() {
        batch[10 * nth + 3] = order(misdeed);
    }
    let ids = queue.submit(batch).await;
    let worker = start(Worker::builder().handler("act", misbehave), slots(8), queue.servers());
    let mut errors = Vec::new();
    for (place, task) in queue.ended(&ids).await.into_iter().enumerate() {
        let misdeed = MISDEEDS.get(place / 10).filter(|_| place % 10 == 3);
        let is_bad = misdeed.is_some_and(|misdeed| *misdeed != "leak");
        assert_eq!(task.status, if is_bad { Status::Failed } else { Status::Done }, "place {place}: {:?}", task.error);
        errors.extend(task.error);
    }
    assert_eq!(errors[0], "the result has 104857602 bytes, more than the 1048576 allowed");
    assert!(errors[1].starts_with("the result cannot be stored"), "{errors:?}");
    assert!(errors[2].contains("\\u0000"), "{errors:?}");
    assert!(errors[3].starts_with("the result cannot be stored"), "{errors:?}");
    assert_eq!(errors[4], "the handler panicked: for no reason");
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 0);
    worker.stop(Duration::from_secs(30)).await;
}
