//! Connections that break at the worst moment.

use std::time::Duration;

use futures_util::future::join_all;
use queue::Status;

use crate::support::{
    eventually,
    proxy::{Mode, Proxy},
    queue::{Queue, tasks},
    worker::{builtin, config, slots, start},
};

/// What the worker believes to hold and what the database says it holds part ways when the answer to a claim is lost.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_whose_claim_was_never_answered_run_all_the_same() {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let worker = start(builtin(), config(), queue.servers_by(&proxy));
    // So that the statement is prepared, and the claim itself is what goes out next.
    let warm_up = queue.submit(tasks(4, "echo", "1")).await;
    queue.done_at(&warm_up, 1).await;
    let lock = queue.lock("leases").await;
    queue.blocks("claimer").await;
    let ids = queue.submit(tasks(4, "echo", "1")).await;
    proxy.set(Mode::Deaf);
    drop(lock);
    queue.counts(4, "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases").await;
    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);
    queue.done_at(&ids, 1).await;
    assert_eq!(worker.metric("taskrow_worker_fenced_total"), 0, "by the same worker");
    assert_eq!(worker.metric("taskrow_worker_claimed_tasks_total"), 8);
    assert_eq!(worker.metric("taskrow_worker_returned_tasks_total"), 4);
}

async fn works_through(modes: [Mode; 2]) {
    let queue = Queue::new().await;
    let proxy = Proxy::new(&queue.url).await;
    let worker = start(builtin(), slots(10), queue.servers_by(&proxy));
    let ids = queue.submit(tasks(1000, "sleep", r#"{"ms": 5}"#)).await;
    let done = "SELECT count(*) FROM taskrow.outcomes";
    for mode in modes {
        let before = queue.count(done).await;
        eventually("some more are done", async || (queue.count(done).await >= (before + 50).min(1000)).then_some(()))
            .await;
        proxy.set(mode);
        worker.misses("postgres").await;
        proxy.set(Mode::Cut);
        proxy.set(Mode::Pass);
        worker.ready().await;
    }
    queue.done_at(&ids, 1).await;
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.failures").await, 0);
    worker.stop(Duration::from_secs(30)).await;
    assert_eq!(queue.count("SELECT count(*) FROM taskrow.workers WHERE dead_at IS NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_comes_and_goes_costs_nothing_but_time() {
    join_all([[Mode::Cut, Mode::Deaf], [Mode::Stall, Mode::Cut], [Mode::Deaf, Mode::Cut]].map(works_through)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_trouble_costs_no_result_and_no_neighbour() {
    let queue = Queue::new().await;
    // As a full disk would, for some tasks only.
    queue
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF new.result::text = '\"refused\"' THEN RAISE EXCEPTION 'no space left'; END IF; RETURN new; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON taskrow.outcomes FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let worker = start(builtin(), config(), queue.servers());
    let refused = queue.submit(tasks(3, "echo", r#""refused""#)).await;
    let fine = queue.submit(tasks(100, "echo", r#""fine""#)).await;
    for id in fine {
        queue.reaches(id, Status::Done).await;
    }
    for id in &refused {
        queue.reaches(*id, Status::Processing).await;
    }
    let more = queue.submit(tasks(100, "echo", r#""fine""#)).await;
    for id in more {
        queue.reaches(id, Status::Done).await;
    }
    queue.execute("DROP TRIGGER refuse ON taskrow.outcomes").await;
    for id in refused {
        let task = queue.reaches(id, Status::Done).await;
        assert_eq!(task.result.expect("its result").get(), r#""refused""#);
    }
    worker.stop(Duration::from_secs(30)).await;
}
