//! What must hold between any two statements, asked of the tables themselves.

use diesel_async::AsyncPgConnection;

use super::sql;

/// Every query lists violations.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "each task is one bit in one row of ready, leases or scheduled, or has one outcome, and never both",
        "WITH bits AS MATERIALIZED (
             SELECT taskrow.batch_task(batch, place) AS id, 'ready' AS stands FROM taskrow.ready, taskrow.mask_places(mask) AS place
             UNION ALL
             SELECT taskrow.batch_task(batch, place), 'leases' FROM taskrow.leases, taskrow.mask_places(mask) AS place
             UNION ALL
             SELECT taskrow.batch_task(batch, place), 'scheduled' FROM taskrow.scheduled, taskrow.mask_places(mask) AS place
             UNION ALL
             SELECT task_id, 'outcome ' || status FROM taskrow.outcomes)
         SELECT coalesce(r.id, b.id) || ': ' || coalesce(string_agg(b.stands, ', '), 'nowhere')
                || CASE WHEN r.id IS NULL THEN ' without a record' ELSE '' END
         FROM taskrow.records r FULL JOIN bits b ON b.id = r.id
         GROUP BY r.id, b.id HAVING count(b.id) <> 1 OR r.id IS NULL",
    ),
    (
        "attempts never exceed the limit",
        "SELECT r.id || ': attempt ' || o.attempt || ' of ' || r.max_attempts
         FROM taskrow.outcomes o JOIN taskrow.records r ON r.id = o.task_id WHERE o.attempt > r.max_attempts
         UNION ALL
         SELECT batch || ': ' || attempt || ' of ' || max_attempts FROM taskrow.leases WHERE attempt > max_attempts
         UNION ALL
         SELECT batch || ': ' || attempt || ' of ' || max_attempts FROM taskrow.ready WHERE attempt >= max_attempts
         UNION ALL
         SELECT batch || ': ' || attempt || ' of ' || max_attempts FROM taskrow.scheduled WHERE attempt >= max_attempts",
    ),
    (
        "every lease belongs to a worker that is listed, so that somebody can rescue it",
        "SELECT 'lease ' || l.id || ' of worker ' || l.worker FROM taskrow.leases l
         WHERE NOT EXISTS (SELECT FROM taskrow.workers w WHERE w.id = l.worker)",
    ),
    (
        "a batch is what its records say: queue, kind, priority, attempts, timeout",
        "SELECT r.id || ' in ' || b.queue || ' ' || b.kind || ' ' || b.rank || ' ' || b.max_attempts || ' ' || b.timeout_ms
         FROM (SELECT batch, mask, queue, kind, rank, max_attempts, timeout_ms FROM taskrow.ready
               UNION ALL SELECT batch, mask, queue, kind, rank, max_attempts, timeout_ms FROM taskrow.leases
               UNION ALL SELECT batch, mask, queue, kind, rank, max_attempts, timeout_ms FROM taskrow.scheduled) AS b
         JOIN taskrow.records r ON r.id BETWEEN b.batch AND taskrow.batch_task(b.batch, 63) AND b.mask & taskrow.task_bit(r.id) <> 0
         WHERE (r.queue, r.kind, -r.priority, r.max_attempts, r.timeout_ms)
               IS DISTINCT FROM (b.queue, b.kind, b.rank, b.max_attempts, b.timeout_ms)",
    ),
    (
        "an open task that was given a unique key holds it, so no other open task has the same one",
        "SELECT k.task_id || ': key ' || k.key || ' is held by ' || coalesce(u.task_id::text, 'nobody')
         FROM taskrow.keyed_tasks k JOIN taskrow.records r ON r.id = k.task_id
         LEFT JOIN taskrow.outcomes o ON o.task_id = k.task_id
         LEFT JOIN taskrow.unique_keys u ON u.queue = r.queue AND u.kind = r.kind AND u.key = k.key
         WHERE o.task_id IS NULL AND u.task_id IS DISTINCT FROM k.task_id",
    ),
];

/// Panics with what does not hold.
pub(crate) async fn check(connection: &mut AsyncPgConnection) {
    for (invariant, violations) in INVARIANTS {
        let found = sql::lines(connection, &format!("SELECT * FROM ({violations}) AS v(line) LIMIT 10")).await;
        assert!(found.is_empty(), "broken: {invariant}\n{}", found.join("\n"));
    }
}
