//! The order of the table, exactly. Redis tells no more than three urgencies apart.

use crate::{
    conformance::order::{note, notes},
    support::{
        queue::Queue,
        worker::{slots, start},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn every_priority_counts() {
    let queue = Queue::new().await;
    let mut ids = Vec::new();
    let mut expected: Vec<(i16, i16)> = Vec::new();
    for number in 0..150 {
        let priority = [0, -100, 7, 100, -7][number as usize % 5];
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
