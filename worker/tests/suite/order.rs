//! Which task is next.

use std::sync::{Arc, Mutex};

use queue::NewTask;
use worker::{Builder, Context, TaskError, Worker};

use crate::support::{
    queue::{Queue, name, task},
    worker::{of_queues, slots, start},
};

/// Notes the payloads in the order they ran.
fn notes() -> (Builder, Arc<Mutex<Vec<String>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let written = notes.clone();
    let note = move |task: Context| {
        written.lock().expect("no panic").push(task.payload().get().to_owned());
        async { Ok::<_, TaskError>(()) }
    };
    (Worker::builder().handler("note", note), notes)
}

fn note(number: i16, priority: i16) -> NewTask {
    let mut task = task("note", &number.to_string());
    task.options.priority = priority;
    task
}

/// Tasks with these priorities, again and again, run by priority and then in the order in which they came.
pub(crate) async fn run_by_priority(priorities: &[i16]) {
    let queue = Queue::new().await;
    let mut ids = Vec::new();
    let mut expected: Vec<(i16, i16)> = Vec::new();
    for number in 0..150 {
        let priority = priorities[number as usize % priorities.len()];
        ids.push(queue.submit_one(note(number, priority)).await);
        expected.push((-priority, number));
    }
    expected.sort_unstable();
    let (builder, notes) = notes();
    let _worker = start(builder, slots(1), queue.servers());
    queue.done_at(&ids, 1).await;
    let expected: Vec<_> = expected.iter().map(|(_, number)| number.to_string()).collect();
    assert_eq!(*notes.lock().expect("no panic"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_in_first_out_and_urgent_ones_before() {
    run_by_priority(&[0, -100, 100, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_batch_run_in_the_order_sent() {
    let queue = Queue::new().await;
    let ids = queue.submit((0..300).map(|number| note(number, 0)).collect()).await;
    let (builder, notes) = notes();
    let _worker = start(builder, slots(1), queue.servers());
    queue.done_at(&ids, 1).await;
    let expected: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!(*notes.lock().expect("no panic"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_from_its_queues_only() {
    let queue = Queue::new().await;
    let of = |queue: &str| {
        let mut task = note(1, 0);
        task.options.lane.queue = name(queue);
        task
    };
    let mut batch: Vec<_> = (0..90).map(|number| of(["one", "two", "three"][number % 3])).collect();
    batch.rotate_left(1);
    let ids = queue.submit(batch).await;
    let (builder, notes) = notes();
    let first = start(builder, of_queues(&["one", "two"]), queue.servers());
    queue.counts(60, "SELECT count(*) FROM taskrow.outcomes").await;
    assert_eq!(queue.count("SELECT sum(taskrow.mask_size(mask)) FROM taskrow.ready WHERE queue = 'three'").await, 30);
    drop(first);
    let (builder, more) = self::notes();
    let _second = start(builder, of_queues(&["three"]), queue.servers());
    queue.done_at(&ids, 1).await;
    assert_eq!((notes.lock().expect("no panic").len(), more.lock().expect("no panic").len()), (60, 30));
}
