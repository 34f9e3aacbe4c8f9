//! Making partitions, which locks whole tables, while others work.

use std::time::Duration;

use queue::Status;

use crate::support::{
    eventually,
    proxy::{Mode, Proxy},
    queue::{Queue, task},
    within,
    worker::{builtin, config, of_queues, start},
};

/// How its connection waits.
async fn partitioner(queue: &Queue) -> String {
    let of = "datname = current_database() AND application_name LIKE '%partitions'";
    queue.execute(&format!("SELECT concat(state, ' ', wait_event) FROM pg_stat_activity WHERE {of}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_while_it_makes_partitions_holds_nobody_up_for_long() {
    let queue = Queue::new().await;
    // Long enough to be caught while it holds its locks.
    queue
        .execute(
            "CREATE FUNCTION dawdle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); END $$;
             CREATE EVENT TRIGGER dawdle ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION dawdle()",
        )
        .await;
    let proxy = Proxy::new(&queue.url).await;
    // Of another queue, for a claim of its own that is under way would take the task along.
    let _frozen = start(builtin(), of_queues(&["other"]), queue.servers_by(&proxy));
    eventually("it makes one", async || (partitioner(&queue).await == "active PgSleep").then_some(())).await;
    proxy.set(Mode::Stall);
    queue.execute("DROP EVENT TRIGGER dawdle").await;
    eventually("it made them and has not committed", async || {
        partitioner(&queue).await.starts_with("idle in transaction").then_some(())
    })
    .await;
    let _other = start(builtin(), config(), queue.servers());
    let id = queue.submit_one(task("echo", "1")).await;
    within(Duration::from_secs(20), "others work", async || (queue.get(id).await.status == Status::Done).then_some(()))
        .await;
}
