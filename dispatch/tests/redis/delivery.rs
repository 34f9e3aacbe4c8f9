//! What is published is delivered, until it is settled.

use std::collections::BTreeSet;

use queue::claim::ClaimedBatches;

use crate::support::{Bed, PRODUCTS, STREAM, batch, claimed, eventually, lane};

#[tokio::test]
async fn what_is_published_is_delivered_and_gone_when_it_is_settled() {
    for product in PRODUCTS {
        let bed = Bed::of(product);
        let publishing = bed.publishing();
        let mut worker = bed.worker(1);
        let published = publishing.some(250);
        let deliveries = worker.take_all(&published).await;
        assert_eq!(deliveries, published.len(), "each once");
        eventually("all is acknowledged", async || bed.pending().await == 0).await;
        eventually("all is deleted", async || bed.ask::<usize>(&format!("XLEN {STREAM}")).await == 0).await;
        assert_eq!((bed.count("published_batches"), bed.count("delivered_batches")), (250, 250));
        assert_eq!((bed.count("stale_batches"), bed.count("unpublished_batches"), publishing.woken()), (0, 0, 0));
    }
}

#[tokio::test]
async fn what_was_published_before_anybody_listened_is_delivered() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let published = publishing.some(3);
    eventually("it is in Redis", async || bed.count("published_batches") == 3).await;
    bed.worker(1).take_all(&published).await;
}

#[tokio::test]
async fn what_is_left_and_what_is_put_back_comes_again() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let published = publishing.some(3);
    eventually("all are in Redis", async || bed.count("published_batches") == 3).await;
    let mut worker = bed.worker(1);

    let delivery = worker.next(10).await;
    assert_eq!(delivery.batches, published);
    worker.source.put_back(delivery).await;

    let mut again = BTreeSet::new();
    while again != published {
        let delivery = worker.next(10).await;
        again.extend(delivery.batches.clone());
        // All that was there is left, in part: as when each batch is larger than what there is room for.
        let mut claimed = claimed(&delivery.batches);
        claimed.left = delivery.batches.iter().copied().collect();
        worker.source.settle(delivery, &claimed).await;
    }
    let stale = bed.count("stale_batches");
    assert_eq!(stale, 0, "what is left was not in vain");
    assert_eq!(worker.take_all(&published).await, 3);
    for stream in [STREAM.to_owned(), format!("{STREAM}#rest")] {
        eventually("nothing is left", async || bed.ask::<usize>(&format!("XLEN {stream}")).await == 0).await;
    }
    assert_eq!(bed.pending().await, 0);
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_nothing() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let mut worker = bed.worker(1);
    for _ in 0..20 {
        worker.ask_and_hang_up(&bed).await;
        let published = publishing.some(1);
        // Delivered while nobody waited for it.
        eventually("it is delivered", async || bed.pending().await == 1).await;
        assert_eq!(worker.take_all(&published).await, 1);
        eventually("it is acknowledged", async || bed.pending().await == 0).await;
    }
    assert_eq!(bed.count("stale_batches"), 0);
}

#[tokio::test]
async fn a_worker_without_room_lets_go_of_what_it_was_delivered() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let mut full = bed.worker(1);
    full.ask_and_hang_up(&bed).await;
    full.source.let_go().await;
    let published = publishing.some(1);
    eventually("it is delivered", async || bed.pending().await == 1).await;
    eventually("it is let go of", async || {
        full.source.let_go().await;
        bed.pending().await == 0
    })
    .await;
    assert_eq!(bed.worker(2).take_all(&published).await, 1);
    // And it hears of more once there is room.
    let published = publishing.some(3);
    assert_eq!(full.take_all(&published).await, 3);
}

#[tokio::test]
async fn urgent_batches_come_first() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let low = publishing.one(batch("echo", -7));
    let normal = publishing.one(batch("echo", 0));
    let high = publishing.one(batch("echo", 9));
    eventually("all are in Redis", async || bed.count("published_batches") == 3).await;
    let mut worker = bed.worker(1);
    for expected in [high, normal, low] {
        let delivery = worker.next(1).await;
        assert_eq!(delivery.batches, [expected].into());
        let claimed = claimed(&delivery.batches);
        worker.source.settle(delivery, &claimed).await;
    }
}

#[tokio::test]
async fn a_worker_hears_of_all_its_lanes_and_of_no_others() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let mut worker = bed.worker_of(1, &[lane("echo"), lane("sleep")]);
    publishing.one(batch("other", 0));
    let expected = BTreeSet::from([publishing.one(batch("echo", 0)), publishing.one(batch("sleep", -1))]);
    assert_eq!(worker.take_all(&expected).await, 2);
    let other: usize = bed.ask("XLEN taskrow:default#other").await;
    assert_eq!(other, 1, "it waits for a worker of its lane");
}

#[tokio::test]
async fn what_is_left_comes_before_what_came_after_it() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let first = publishing.one(batch("echo", 0));
    let second = publishing.one(batch("echo", 0));
    eventually("both are in Redis", async || bed.count("published_batches") == 2).await;
    let mut worker = bed.worker(1);
    let delivery = worker.next(1).await;
    assert_eq!(delivery.batches, [first].into());
    let split = ClaimedBatches { left: vec![first], ..claimed(&delivery.batches) };
    worker.source.settle(delivery, &split).await;
    for expected in [first, second] {
        let delivery = worker.next(1).await;
        assert_eq!(delivery.batches, [expected].into());
        let claimed = claimed(&delivery.batches);
        worker.source.settle(delivery, &claimed).await;
    }
}

#[tokio::test]
async fn stale_batches_are_counted() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let mut worker = bed.worker(1);
    publishing.some(1);
    let delivery = worker.next(1).await;
    worker.source.settle(delivery, &claimed(&BTreeSet::new())).await;
    eventually("it is acknowledged all the same", async || bed.pending().await == 0).await;
    assert_eq!(bed.count("stale_batches"), 1);
}

#[tokio::test]
async fn without_redis_a_source_never_delivers() {
    let dispatch = dispatch::Dispatch::default();
    let (mut source, _reader) = dispatch.source(queue::workers::WorkerId(1), &[lane("echo")]);
    assert!(at_once(source.next(1)).is_none());
    assert!(dispatch.dependencies().is_empty() && dispatch.metrics().is_none());
}

/// What a future has to say at once.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
