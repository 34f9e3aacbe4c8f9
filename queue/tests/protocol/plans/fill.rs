//! Big tables.

use std::time::Duration;

use crate::support::{
    Harness, sql,
    tasks::{But, apart, task},
};

/// Tasks that have ended.
pub(super) const ENDED: i64 = 100_000;
/// Rows of `ready`, a task each.
pub(super) const READY: usize = 20_000;
/// Leases, a task each.
pub(super) const LEASES: usize = 4000;
/// Rows of `scheduled`, a task each, none of them due.
pub(super) const SCHEDULED: usize = 10_000;
/// Those who hold the leases.
pub(super) const WORKERS: usize = 8;

pub(super) async fn fill(queue: &mut Harness) {
    // Batches of 64 that were submitted a millisecond after each other, one task in a hundred failed.
    sql::run(
        &mut queue.durable,
        &format!(
            "CREATE TEMPORARY TABLE ended AS
             SELECT taskrow.batch_task(taskrow.task_batch(
                        (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 1000000 + n / 64), 12, '0') || '7abc8' || lpad(to_hex(n / 64 * 64), 15, '0'))::uuid),
                        n % 64) AS id, n
             FROM generate_series(0, {ENDED} - 1) AS n;
             INSERT INTO taskrow.records (id, timeout_ms, priority, max_attempts, queue, kind, payload)
             SELECT id, 1000, 0, 3, 'default', 'echo', 'null' FROM ended;
             INSERT INTO taskrow.outcomes (task_id, worker, attempt, status, error)
             SELECT id, 1, 1, CASE WHEN n % 100 = 0 THEN 2 ELSE 1 END, CASE WHEN n % 100 = 0 THEN 'broken' END FROM ended;
             INSERT INTO taskrow.failures (task_id, worker, attempt, error) SELECT id, 1, 1, 'flaky' FROM ended WHERE n % 10 = 0"
        ),
    )
    .await;
    let due = apart(LEASES + READY, &task());
    for part in due.chunks(10_000) {
        queue.submit(part.to_vec()).await;
    }
    queue.submit(apart(SCHEDULED, &task().after(Duration::from_secs(24 * 3600)))).await;
    for _ in 0..WORKERS {
        let worker = queue.worker().await;
        assert_eq!(queue.claim(worker, LEASES / WORKERS).await.len(), LEASES / WORKERS);
    }
}
