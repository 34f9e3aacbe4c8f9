//! Claims under a snapshot that somebody holds: the index keeps an entry for every batch claimed since.

use super::{explain::explain, statements};
use crate::support::{Harness, On, gate::Gate, sql};

const DEAD: i64 = 100_000;

#[tokio::test]
async fn a_claim_from_its_floor_walks_over_no_dead_entries() {
    let mut queue = Harness::new(On::Machine).await;
    statements::run_each(&mut queue).await;
    let old =
        Gate::shut(&queue, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM taskrow.ready").await;
    let come_and_go = format!(
        "INSERT INTO taskrow.ready (mask, timeout_ms, rank, max_attempts, batch, queue, kind)
         SELECT 1, 1, 0, 1, '00000000-0000-0000-0000-000000000000', 'default', 'echo' FROM generate_series(1, {DEAD})"
    );
    sql::run(&mut queue.durable, &come_and_go).await;
    sql::run(&mut queue.durable, "DELETE FROM taskrow.ready").await;
    queue.submit_plain(64 * 64).await;
    let worker = queue.worker().await.0;
    let floor = queue.number("SELECT min(seq) FROM taskrow.ready").await;
    let front =
        format!("{worker}, 64, 64, '{{default}}', '{{echo}}', '{{-32768}}', '{{-9223372036854775808}}', '{{32767}}'");
    let above = format!(
        "{worker}, 64, 64, '{{default,default}}', '{{echo,echo}}', '{{-32768,0}}', '{{-9223372036854775808,{floor}}}', '{{0,32767}}'"
    );
    let from_front = explain(&mut queue.volatile, "segments AS MATERIALIZED", &front).await;
    let from_floor = explain(&mut queue.volatile, "segments AS MATERIALIZED", &above).await;
    assert_eq!((from_front.rows(), from_floor.rows()), (64.0, 64.0));
    let (walked, jumped) = (from_front.pages(), from_floor.pages());
    assert!(jumped < 1500.0, "{jumped} pages");
    assert!(walked > 2.0 * jumped, "nothing was in the way: {walked} pages from the front, {jumped} from the floor");
    old.open().await;
}
