//! Several workers: sharing, leaving, dying.

use std::collections::BTreeSet;

use crate::support::{Bed, GROUP, PRODUCTS, STREAM, claimed, eventually, within};

#[tokio::test]
async fn workers_share_what_is_published() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let mut workers = [bed.worker(1), bed.worker(2)];
    let published = publishing.some(2000);
    let mut heard = Vec::new();
    within("all is heard of", async {
        while heard.len() < published.len() {
            let [one, two] = &mut workers;
            let (worker, delivery) = tokio::select! {
                delivery = one.source.next(10) => (one, delivery),
                delivery = two.source.next(10) => (two, delivery),
            };
            heard.extend(delivery.batches.iter().copied());
            let claimed = claimed(&delivery.batches);
            worker.source.settle(delivery, &claimed).await;
        }
    })
    .await;
    assert_eq!(heard.len(), published.len(), "each once");
    assert_eq!(heard.into_iter().collect::<BTreeSet<_>>(), published);
}

#[tokio::test]
async fn a_worker_that_leaves_puts_back_what_it_holds_and_is_gone() {
    for product in PRODUCTS {
        let bed = Bed::of(product);
        let publishing = bed.publishing();
        let mut leaving = bed.worker(1);
        let published = publishing.some(5);
        let delivery = leaving.next(10).await;
        assert!(!delivery.batches.is_empty());
        leaving.leave().await;
        assert_eq!(bed.consumers().await, [].into());

        let mut staying = bed.worker(2);
        staying.take_all(&published).await;
        assert_eq!(bed.consumers().await, ["worker-2".to_owned()].into());
    }
}

#[tokio::test]
async fn a_worker_that_leaves_puts_back_more_than_a_page() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let published = publishing.some(2500);
    eventually("all are in Redis", async || bed.count("published_batches") == 2500).await;
    let mut leaving = bed.worker(1);
    assert_eq!(leaving.next(2500).await.batches.len(), 2500);
    leaving.leave().await;
    assert_eq!(bed.worker(2).take_all(&published).await, 2500);
    eventually("nothing stays", async || bed.ask::<usize>(&format!("XLEN {STREAM}")).await == 0).await;
}

#[tokio::test]
async fn a_worker_that_leaves_while_it_waits_takes_nothing_with_it() {
    for _ in 0..20 {
        let bed = Bed::new();
        let publishing = bed.publishing();
        let mut leaving = bed.worker(1);
        leaving.ask_and_hang_up(&bed).await;
        // While it leaves there is something to read.
        let published = publishing.some(50);
        leaving.leave().await;
        assert_eq!(bed.consumers().await, [].into());
        assert_eq!(bed.worker(2).take_all(&published).await, 50);
    }
}

#[tokio::test]
async fn what_a_dead_worker_held_is_taken_over() {
    for product in PRODUCTS {
        let bed = Bed::of(product);
        let publishing = bed.publishing();
        let published = publishing.some(3);
        eventually("all are in Redis", async || bed.count("published_batches") == 3).await;
        bed.ask::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 0")).await;
        let read: redis::streams::StreamReadReply =
            bed.ask(&format!("XREADGROUP GROUP {GROUP} worker-1 STREAMS {STREAM} >")).await;
        for entry in &read.keys[0].ids {
            // One is held for less than a claim may take: its worker may be alive.
            let idle = if entry.id == read.keys[0].ids[0].id { 1000 } else { 61_000 };
            let claim = format!("XCLAIM {STREAM} {GROUP} worker-1 0 {} IDLE {idle} JUSTID", entry.id);
            assert_eq!(bed.ask::<Vec<String>>(&claim).await.len(), 1);
        }
        let mut worker = bed.worker(2);
        let delivery = worker.next(10).await;
        assert_eq!(delivery.batches.len(), 2, "{product}");
        assert!(delivery.batches.is_subset(&published));
        assert_eq!(bed.count("taken_over_entries"), 2);
        let claimed = claimed(&delivery.batches);
        worker.source.settle(delivery, &claimed).await;
        eventually("only what was held shortly is pending", async || bed.pending().await == 1).await;
    }
}
