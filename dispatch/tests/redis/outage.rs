//! Redis loses everything, hangs, dies, comes back.

use local_redis::Server;

use crate::support::{Bed, PRODUCTS, STREAM, batch, claimed, eventually, eventually_is, tell};

#[tokio::test]
async fn a_flush_while_a_worker_waits() {
    for product in PRODUCTS {
        for flush in ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHDB", "DEL taskrow:default#echo", "SWAPDB 0 1"] {
            let bed = Bed::of(product);
            let publishing = bed.publishing();
            let mut worker = bed.worker(1);
            worker.ask_and_hang_up(&bed).await;
            bed.ask::<()>(flush).await;
            let published = publishing.some(10);
            assert_eq!(worker.take_all(&published).await, 10, "{product} {flush}");
        }
    }
}

#[tokio::test]
async fn flushes_while_batches_come_and_go() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let mut worker = bed.worker(1);
    for _ in 0..30 {
        publishing.some(100);
        let delivery = worker.next(10).await;
        bed.ask::<()>("FLUSHALL").await;
        // Of a stream that is gone.
        worker.source.put_back(delivery).await;
    }
    let published = publishing.some(10);
    worker.take_all(&published).await;
    assert_eq!(publishing.woken(), 0, "Redis was there all the time");
}

#[tokio::test]
async fn a_broken_connection_delivers_again_what_was_not_acknowledged() {
    for product in PRODUCTS {
        let bed = Bed::of(product);
        let publishing = bed.publishing();
        let mut worker = bed.worker(1);
        let first = publishing.some(1);
        let delivery = worker.next(10).await;
        assert_eq!(delivery.batches, first);
        bed.ask::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        // It cannot be acknowledged: the connection is gone.
        worker.source.settle(delivery, &claimed(&first)).await;
        let again = worker.next(10).await;
        assert_eq!(again.batches, first);
        worker.source.settle(again, &claimed(&first)).await;
        eventually("it is acknowledged", async || bed.pending().await == 0).await;
    }
}

#[tokio::test]
async fn a_connection_killed_while_a_worker_waits() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let mut worker = bed.worker(1);
    for _ in 0..5 {
        worker.ask_and_hang_up(&bed).await;
        bed.kill_reader().await;
        let published = publishing.some(3);
        assert_eq!(worker.take_all(&published).await, 3);
    }
    assert_eq!(publishing.woken(), 0);
}

#[tokio::test]
async fn while_redis_is_away_batches_are_told_by_wakeups() {
    let mut bed = Bed::new();
    let publishing = bed.publishing();
    let readiness = bed.watched();
    let mut worker = bed.worker(1);
    for _ in 0..3 {
        eventually_is(&readiness, Ok(())).await;
        worker.ask_and_hang_up(&bed).await;
        bed.server.kill().unwrap();
        eventually_is(&readiness, Err("refused")).await;
        let (woken, unpublished) = (publishing.woken(), bed.count("unpublished_batches"));
        publishing.some(3);
        eventually("they are told by wakeups", async || publishing.woken() > woken).await;
        assert_eq!(bed.count("unpublished_batches"), unpublished + 3);
        bed.server.start_again().unwrap();
        let published = bed.count("published_batches");
        eventually("Redis tells again", async || {
            publishing.one(batch("echo", 0));
            bed.count("published_batches") > published
        })
        .await;
        let delivery = worker.next(1000).await;
        let claimed = claimed(&delivery.batches);
        worker.source.settle(delivery, &claimed).await;
        let rest = publishing.some(1);
        worker.take_all(&rest).await;
        eventually("all is acknowledged", async || bed.pending().await == 0).await;
    }
}

#[tokio::test]
async fn what_a_hanging_redis_does_not_take_is_told_by_wakeups() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    let readiness = bed.watched();
    eventually_is(&readiness, Ok(())).await;
    publishing.some(1);
    eventually("there is a connection", async || bed.count("published_batches") == 1).await;
    bed.server.pause().unwrap();
    publishing.some(3);
    eventually("it is told by a wakeup", async || publishing.woken() > 0).await;
    eventually_is(&readiness, Err("no answer")).await;
    bed.server.resume().unwrap();
    eventually_is(&readiness, Ok(())).await;
    eventually("Redis tells again", async || {
        publishing.some(1);
        bed.count("published_batches") > 1
    })
    .await;
}

#[tokio::test]
async fn more_than_may_wait_for_redis_is_told_by_a_wakeup_at_once() {
    let bed = Bed::new();
    let publishing = bed.publishing();
    bed.server.pause().unwrap();
    publishing.some(30_000);
    assert_eq!((publishing.woken(), bed.count("unpublished_batches")), (1, 10_000));
    bed.server.resume().unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_writes_is_missing() {
    for product in PRODUCTS {
        let bed = Bed::of(product);
        let publishing = bed.publishing();
        let readiness = bed.watched();
        let mut worker = bed.worker(1);
        for (refuse, allow, reason) in [
            ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM"),
            ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"),
        ] {
            eventually_is(&readiness, Ok(())).await;
            bed.ask::<()>(refuse).await;
            eventually_is(&readiness, Err(reason)).await;
            let woken = publishing.woken();
            publishing.some(1);
            eventually("workers are told otherwise", async || publishing.woken() > woken).await;
            bed.ask::<()>(allow).await;
            eventually_is(&readiness, Ok(())).await;
            let published = bed.count("published_batches");
            eventually("Redis tells again", async || {
                publishing.some(1);
                bed.count("published_batches") > published
            })
            .await;
            let delivery = worker.next(1000).await;
            let claimed = claimed(&delivery.batches);
            worker.source.settle(delivery, &claimed).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_write_to_its_disk_is_missing() {
    let server = Server::with(&[("enable-protected-configs", "yes")]).unwrap_or_else(|error| panic!("{error}"));
    let bed = Bed::on(server);
    let address = bed.server.address();
    let publishing = bed.publishing();
    let readiness = bed.watched();
    eventually_is(&readiness, Ok(())).await;
    let gone = tempfile::tempdir().unwrap();
    tell::<()>(&address, &["CONFIG", "SET", "dir", gone.path().to_str().unwrap()]).await;
    gone.close().unwrap();
    tell::<()>(&address, &["CONFIG", "SET", "save", "1 1"]).await;
    publishing.some(1);
    eventually_is(&readiness, Err("MISCONF")).await;
    publishing.some(1);
    eventually("workers are told otherwise", async || publishing.woken() > 0).await;
    bed.ask::<()>("CONFIG SET stop-writes-on-bgsave-error no").await;
    eventually_is(&readiness, Ok(())).await;
}

#[tokio::test]
async fn a_replica_is_missing_until_it_leads() {
    for product in PRODUCTS {
        let leader = Bed::of(product);
        let bed = Bed::of(product);
        let publishing = bed.publishing();
        let readiness = bed.watched();
        let mut worker = bed.worker(1);
        worker.ask_and_hang_up(&bed).await;
        eventually_is(&readiness, Ok(())).await;

        let address = leader.server.address().replace(':', " ");
        bed.ask::<()>(&format!("REPLICAOF {address}")).await;
        eventually_is(&readiness, Err("read only replica")).await;
        publishing.some(1);
        eventually("workers are told otherwise", async || publishing.woken() > 0).await;
        assert!(!leader.ask::<bool>(&format!("EXISTS {STREAM}")).await);

        bed.ask::<()>("REPLICAOF NO ONE").await;
        eventually_is(&readiness, Ok(())).await;
        eventually("Redis tells again", async || {
            publishing.some(1);
            bed.count("published_batches") > 0
        })
        .await;
        assert!(!worker.next(1).await.batches.is_empty());
    }
}
