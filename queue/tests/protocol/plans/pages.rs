//! Pages of tasks cost what their window costs, whatever the filter.

use super::{
    Planned, big_queue,
    explain::explain,
    statements::{LOOKUP, lookup},
};
use crate::support::sql;

/// Rows a page looks at: `queue::inspect`'s limit.
const WINDOW: f64 = 2000.0;
const PAGE: usize = 50;

#[tokio::test]
async fn of_plans_made_when_the_tables_were_empty() {
    pages_are_bounded(Planned::WhenEmpty).await;
}

#[tokio::test]
async fn of_plans_made_by_old_statistics() {
    pages_are_bounded(Planned::ByOldStatistics).await;
}

#[tokio::test]
async fn of_plans_made_by_good_statistics() {
    pages_are_bounded(Planned::ByGoodStatistics).await;
}

async fn pages_are_bounded(planned: Planned) {
    let mut queue = big_queue(planned).await;
    let last = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    let middle =
        sql::lines(&mut queue.durable, "SELECT task_id FROM taskrow.outcomes ORDER BY task_id OFFSET 50000 LIMIT 1")
            .await
            .remove(0);
    // The merge of the partitions looks at a row of each before it begins.
    let partitions = 20.0;
    for (what, part, outcome) in [
        ("all", "FROM taskrow.records WHERE id < $1 ORDER BY", "NULL"),
        ("done", "FROM taskrow.outcomes WHERE task_id < $1 ORDER BY", "1"),
        ("failed", "WHERE task_id < $1 AND status IN (2, 3)", "2"),
        ("queued", "FROM taskrow.ready WHERE batch <= $1", "NULL"),
        ("scheduled", "FROM taskrow.scheduled WHERE batch <= $1", "NULL"),
        ("processing", "FROM taskrow.leases WHERE batch <= $1", "NULL"),
    ] {
        for before in [last, middle.as_str()] {
            let arguments = format!("'{before}', {WINDOW}, {PAGE}, NULL, NULL, {outcome}, NULL");
            let page = explain(&mut queue.volatile, part, &arguments).await;
            page.is_bounded(&format!("a page of {what}"), WINDOW + partitions);
            // Nothing matches, so the whole window is looked up.
            for filter in [
                format!("'nowhere', 'nothing', {outcome}, NULL"),
                format!("NULL, NULL, {outcome}, '{{nowhere,never}}'"),
            ] {
                let arguments = format!("'{before}', {WINDOW}, {PAGE}, {filter}");
                let page = explain(&mut queue.volatile, part, &arguments).await;
                page.is_bounded(&format!("a page of {what} that nothing matches"), 2.0 * WINDOW + partitions);
            }
        }
    }
    let ids = "SELECT id FROM (SELECT id FROM taskrow.records ORDER BY id DESC LIMIT 50) AS newest";
    let ids = sql::lines(&mut queue.durable, ids).await;
    let page = explain(&mut queue.volatile, LOOKUP, &lookup(&ids)).await;
    assert_eq!(page.rows(), PAGE as f64);
    // A row of records, and one of where it stands.
    page.is_bounded("the tasks of a page", 2.0 * PAGE as f64);
}
