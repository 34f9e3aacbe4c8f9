//! Submits with keys look at their own rows and at the tasks that hold their keys, however many there are.

use super::{Planned, big_queue, explain::explain};
use crate::support::sql;

const KEYS: usize = 50_000;

#[tokio::test]
async fn keys_of_plans_made_when_the_tables_were_empty() {
    keys_are_looked_up(Planned::WhenEmpty).await;
}

#[tokio::test]
async fn keys_of_plans_made_by_good_statistics() {
    keys_are_looked_up(Planned::ByGoodStatistics).await;
}

async fn keys_are_looked_up(planned: Planned) {
    let mut queue = big_queue(planned).await;
    let fill = format!(
        "INSERT INTO taskrow.unique_keys (queue, kind, key, task_id)
         SELECT 'default', 'echo', 'key ' || number, gen_random_uuid() FROM generate_series(1, {KEYS}) AS number;
         INSERT INTO taskrow.keyed_tasks (task_id, key) SELECT task_id, key FROM taskrow.unique_keys ON CONFLICT DO NOTHING;
         INSERT INTO taskrow.idempotency_keys (expires_at, request, scope, key, fingerprint, task_ids)
         SELECT now() + interval '1 day', gen_random_uuid(), 'global', 'key ' || number, sha256('x'), ARRAY[gen_random_uuid()]
         FROM generate_series(1, {KEYS}) AS number"
    );
    sql::run(&mut queue.durable, &fill).await;
    for (of, table) in [("a queued task", "ready"), ("a processing task", "leases"), ("a scheduled task", "scheduled")]
    {
        let id = sql::lines(&mut queue.durable, &format!("SELECT batch FROM taskrow.{table} LIMIT 1")).await.remove(0);
        let stand =
            explain(&mut queue.durable, "FROM unnest($1) AS asked (id)", &format!("'{{{id}}}', '{id}', '{id}'")).await;
        assert_eq!(stand.rows(), 1.0);
        // A row of records, and one of where it stands.
        stand.is_bounded(of, 2.0);
        let given = format!("'{id}', taskrow.task_batch('{id}'), taskrow.task_bit('{id}'), '1', NULL, NULL");
        for part in
            ["stayed AS (", "back AS (\n             INSERT INTO taskrow.ready (queue, kind, rank, attempt, crashes"]
        {
            // Looked up in each of two ways, and the record.
            explain(&mut queue.durable, part, &given).await.is_bounded("replace", 5.0);
        }
        let key = explain(&mut queue.durable, "FROM taskrow.keyed_tasks k", &format!("'{id}'")).await;
        key.is_bounded("the key of a task", 2.0);
    }
    let (keys, lanes) = ("'{key 1,key 2,key 50000}'", ["'{default,default,default}'", "'{echo,echo,echo}'"]);
    let ids = "ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()]";
    let given = format!("{}, {}, {keys}, {ids}", lanes[0], lanes[1]);
    let lock = explain(&mut queue.durable, "SET task_id = k.task_id", &given).await;
    assert_eq!(lock.rows(), 3.0);
    lock.is_bounded("locking three keys", 0.0);
    let give = explain(&mut queue.durable, "INSERT INTO taskrow.keyed_tasks", &given).await;
    assert_eq!(give.rows(), 3.0);
    give.is_bounded("giving three keys", 3.0);
    let take = format!("'global', 'key 7', gen_random_uuid(), sha256('y'), {ids}, 1000");
    let take = explain(&mut queue.durable, "INSERT INTO taskrow.idempotency_keys", &take).await;
    assert_eq!(take.rows(), 0.0);
    take.is_bounded("an idempotency key that is taken", 0.0);
    let find = explain(&mut queue.durable, "FROM taskrow.idempotency_keys WHERE scope", "'global', 'key 7'").await;
    find.is_bounded("who took it", 1.0);
}
