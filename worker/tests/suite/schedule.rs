//! Tasks that may not start yet.

use std::time::Duration;

use queue::{NewTask, Status, task::Start};
use worker::{Context, TaskError, Worker};

use crate::support::{
    eventually,
    queue::{Queue, task},
    worker::{Running, config, start},
};

async fn done(_: Context) -> Result<(), TaskError> {
    Ok(())
}

fn at(start: Start) -> NewTask {
    let mut task = task("work", "1");
    task.options.start = start;
    task
}

fn idle_for_long(queue: &Queue, wakeups: bool) -> Running {
    let poll_interval = if wakeups { Duration::from_secs(3600) } else { Duration::from_millis(200) };
    let idle = worker::WorkerConfig { poll_interval, wakeups, ..config() };
    start(Worker::builder().handler("work", done), idle, queue.servers())
}

/// How many tasks were claimed before their time, by the database's clock: none.
async fn assert_none_early(queue: &Queue) {
    let early = "SELECT count(*) FROM taskrow.outcomes o JOIN due d ON d.id = o.task_id WHERE o.finished_at < d.run_at";
    assert_eq!(queue.count(early).await, 0);
}

/// Notes when each scheduled task is due, for the row is gone when it runs.
async fn note_due_times(queue: &Queue) {
    queue
        .execute(
            "CREATE TABLE due (id uuid, run_at timestamptz);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO due SELECT taskrow.batch_task(new.batch, place), new.run_at
                 FROM taskrow.mask_places(new.mask) AS place; RETURN new; END $$;
             CREATE TRIGGER note AFTER INSERT ON taskrow.scheduled FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_starts_scheduled_tasks_on_time() {
    let queue = Queue::new().await;
    note_due_times(&queue).await;
    let worker = idle_for_long(&queue, true);
    eventually("it listens", async || (worker.metric("taskrow_worker_listening") == 1).then_some(())).await;
    // The later one first: the second hint moves the alarm forward.
    let in_an_hour = queue.submit_one(at(Start::After(Duration::from_secs(3600)))).await;
    queue.hint("schedule").await;
    let mut ids = Vec::new();
    for delay in [1_500, 700, 300, 1] {
        ids.push(queue.submit_one(at(Start::After(Duration::from_millis(delay)))).await);
        queue.hint("schedule").await;
    }
    for id in &ids {
        queue.reaches(*id, Status::Done).await;
    }
    assert_none_early(&queue).await;
    let late = "SELECT count(*) FROM taskrow.outcomes o JOIN due d ON d.id = o.task_id
                WHERE o.finished_at > d.run_at + interval '4 seconds'";
    assert_eq!(queue.count(late).await, 0, "no later than a wakeup");
    assert_eq!(queue.get(in_an_hour).await.status, Status::Scheduled);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wakeups_scheduled_tasks_start_at_the_next_poll() {
    let queue = Queue::new().await;
    note_due_times(&queue).await;
    let worker = idle_for_long(&queue, false);
    worker.ready().await;
    let mut ids = Vec::new();
    for delay in [1_000, 500, 1] {
        ids.push(queue.submit_one(at(Start::After(Duration::from_millis(delay)))).await);
    }
    queue.done_at(&ids, 1).await;
    assert_none_early(&queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_the_databases() {
    let queue = Queue::new().await;
    let now: i64 = queue.count("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint").await;
    let time = |seconds: i64| chrono::DateTime::from_timestamp(seconds, 0).expect("a time");
    let past = queue.submit_one(at(Start::At(time(now - 1000)))).await;
    let soon = queue.submit_one(at(Start::At(time(now + 2)))).await;
    let far = queue.submit_one(at(Start::At(time(now + 3600)))).await;
    assert_eq!(queue.get(past).await.status, Status::Queued, "a past time means at once");
    let _worker = idle_for_long(&queue, false);
    queue.reaches(past, Status::Done).await;
    queue.reaches(soon, Status::Done).await;
    let early = format!(
        "SELECT count(*) FROM taskrow.outcomes WHERE task_id = '{soon}' AND finished_at < to_timestamp({})",
        now + 2
    );
    assert_eq!(queue.count(&early).await, 0);
    assert_eq!(queue.get(far).await.status, Status::Scheduled);
}
