//! What else may stand in a stream, and what keeps streams small.

use crate::support::{Bed, GROUP, PRODUCTS, STREAM, eventually, tell};

#[tokio::test]
async fn entries_of_others_are_acknowledged_counted_and_in_nobodys_way() {
    for product in PRODUCTS {
        let bed = Bed::of(product);
        let address = bed.server.address();
        let id = uuid::Uuid::now_v7().to_string();
        let foreign: [&[&[u8]]; 7] = [
            &[b"job", b"1"],
            &[b"batch", b""],
            &[b"batch", b"\x00\xff\xfe"],
            &[b"\xff\xfe", b"1"],
            &[b"\xff\xfe", b"\xff", b"batch", b"nonsense"],
            &[b"", b""],
            // An id of a task: it names a place in its batch.
            &[b"batch", id.as_bytes()],
        ];
        for fields in foreign {
            let add = [&[b"XADD".as_slice(), STREAM.as_bytes(), b"*"], fields].concat();
            tell::<String>(&address, &add).await;
        }
        let publishing = bed.publishing();
        let published = publishing.some(1);
        let mut worker = bed.worker(1);
        assert_eq!(worker.take_all(&published).await, 1);
        eventually("nothing is pending", async || bed.pending().await == 0).await;
        assert_eq!(bed.ask::<usize>(&format!("XLEN {STREAM}")).await, 0, "{product}");
        assert_eq!(bed.count("foreign_entries"), foreign.len() as u64, "{product}");
    }
}

#[tokio::test]
async fn further_fields_of_later_releases_are_ignored() {
    let bed = Bed::new();
    let id = queue::BatchId::new();
    let add = format!("XADD {STREAM} * since now batch {} batch2 x", id.uuid());
    bed.ask::<String>(&add).await;
    assert_eq!(bed.worker(1).next(1).await.batches, [id].into());
}

#[tokio::test]
async fn entries_deleted_while_they_were_pending_are_acknowledged() {
    for product in PRODUCTS {
        let bed = Bed::of(product);
        let publishing = bed.publishing();
        let mut worker = bed.worker(1);
        publishing.some(2);
        let delivery = worker.next(10).await;
        // As a trimmed stream does, and then the connection breaks.
        bed.ask::<usize>(&format!("XTRIM {STREAM} MAXLEN 0")).await;
        bed.ask::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        worker.source.put_back(delivery).await;
        let published = publishing.some(1);
        worker.take_all(&published).await;
        eventually("nothing is pending", async || bed.pending().await == 0).await;
    }
}

#[tokio::test]
async fn streams_are_bounded_and_expire() {
    let bed = Bed::new();
    let fill = format!("for i = 1, 105000 do redis.call('XADD', '{STREAM}', '*', 'batch', '') end");
    tell::<()>(&bed.server.address(), &["EVAL", fill.as_str(), "0"]).await;
    let publishing = bed.publishing();
    publishing.some(1);
    eventually("it is in Redis", async || bed.count("published_batches") == 1).await;
    let length: usize = bed.ask(&format!("XLEN {STREAM}")).await;
    assert!((100_000..101_000).contains(&length), "{length}");
    let ttl: i64 = bed.ask(&format!("TTL {STREAM}")).await;
    assert!((1..=24 * 3600).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn streams_that_only_a_worker_made_expire() {
    let bed = Bed::new();
    let mut worker = bed.worker(1);
    worker.ask_and_hang_up(&bed).await;
    for stream in ["#high#rest", "#high", "#rest", "", "#low#rest", "#low"].map(|urgency| format!("{STREAM}{urgency}"))
    {
        let ttl: i64 = bed.ask(&format!("TTL {stream}")).await;
        assert!((1..=24 * 3600).contains(&ttl), "{stream}: {ttl}");
    }
}

#[tokio::test]
async fn a_key_of_another_type_in_the_place_of_a_stream_harms_neither_side_for_long() {
    let bed = Bed::new();
    bed.ask::<()>(&format!("SET {STREAM} nonsense")).await;
    let publishing = bed.publishing();
    let mut worker = bed.worker(1);
    publishing.some(1);
    eventually("workers are told otherwise", async || publishing.woken() > 0).await;
    bed.ask::<()>(&format!("DEL {STREAM}")).await;
    eventually("Redis tells again", async || {
        publishing.some(1);
        bed.count("published_batches") > 0
    })
    .await;
    assert!(!worker.next(1).await.batches.is_empty());
    assert!(bed.consumers().await.contains("worker-1"), "{GROUP}");
}
