//! Claiming ahead of the slots.

use queue::Status;
use tokio_util::sync::CancellationToken;
use worker::{Builder, Context, TaskError, Worker};

use crate::support::{
    queue::{Queue, task, tasks},
    worker::{builtin, slots, start},
};

/// A task with payload 0 holds its slot until told to go on.
fn holding() -> (Builder, CancellationToken) {
    let go = CancellationToken::new();
    let wait = go.clone();
    let work = move |task: Context| {
        let wait = wait.clone();
        async move {
            if task.payload().get() == "0" {
                wait.cancelled().await;
            }
            Ok::<_, TaskError>(())
        }
    };
    (Worker::builder().handler("work", work), go)
}

/// Notes how many tasks each claim took.
async fn note_claims(queue: &Queue) {
    queue
        .execute(
            "CREATE TABLE public.claims (tasks bigint); GRANT INSERT ON public.claims TO PUBLIC;
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO public.claims SELECT sum(taskrow.mask_size(mask)) FROM made HAVING count(*) > 0; RETURN NULL; END $$;
             CREATE TRIGGER note AFTER INSERT ON taskrow.leases REFERENCING NEW TABLE AS made
                 FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn short_tasks_are_claimed_in_bulk() {
    let queue = Queue::new().await;
    note_claims(&queue).await;
    let ids = queue.submit(tasks(3000, "echo", "1")).await;
    let _worker = start(builtin(), slots(5), queue.servers());
    queue.done_at(&ids, 1).await;
    let most = queue.count("SELECT max(tasks) FROM public.claims").await;
    assert!(most > 100, "at most {most} in one claim");
    assert_eq!(queue.count("SELECT sum(tasks)::bigint FROM public.claims").await, 3000, "none was claimed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_tasks_are_not_claimed_ahead() {
    let queue = Queue::new().await;
    let (builder, go) = holding();
    let first = start(builder, slots(3), queue.servers());
    let ids = queue.submit(tasks(64, "work", "0")).await;
    queue.counts(3, "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases").await;
    let (builder, _) = holding();
    let _second = start(builder, slots(4), queue.servers());
    queue.counts(7, "SELECT coalesce(sum(taskrow.mask_size(mask)), 0) FROM taskrow.leases").await;
    go.cancel();
    drop((first, ids));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_long_tasks_goes_to_others() {
    let queue = Queue::new().await;
    let (builder, go) = holding();
    let stuck = start(builder, slots(2), queue.servers());
    let warm_up = queue.submit(tasks(400, "work", "1")).await;
    queue.done_at(&warm_up, 1).await;
    // It expects short tasks, and claims these two with everything after them.
    let mut batch = tasks(64, "work", "1");
    (batch[0], batch[1]) = (task("work", "0"), task("work", "0"));
    let ids = queue.submit(batch).await;
    queue.reaches(ids[1], Status::Processing).await;
    let (builder, _) = holding();
    let helper = start(builder, slots(2), queue.servers());
    for id in &ids[2..] {
        assert_eq!(queue.reaches(*id, Status::Done).await.attempt, 1);
    }
    for id in &ids[..2] {
        assert_eq!(queue.get(*id).await.status, Status::Processing);
    }
    go.cancel();
    queue.done_at(&ids, 1).await;
    drop((stuck, helper));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_beyond_the_limit() {
    let queue = Queue::new().await;
    note_claims(&queue).await;
    let ids = queue.submit(tasks(1000, "sleep", r#"{"ms": 1}"#)).await;
    let limited = worker::WorkerConfig { prefetch: 10, ..slots(5) };
    let _worker = start(builtin(), limited, queue.servers());
    queue.done_at(&ids, 1).await;
    // For the slots, and ahead of them.
    let most = queue.count("SELECT max(tasks) FROM public.claims").await;
    assert!(most <= 15, "{most} in one claim");
}
