//! Reading a plan.

use std::collections::BTreeSet;

use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use crate::support::sql;

/// Tables that a hot statement must never read from end to end. The rest have a row per process, queue or running task.
const BIG: [&str; 10] = [
    "records",
    "outcomes",
    "failures",
    "ready",
    "leases",
    "scheduled",
    "unique_keys",
    "keyed_tasks",
    "idempotency_keys",
    "callbacks",
];

/// What one execution of a statement did.
#[derive(Debug)]
pub(super) struct Reading {
    plan: Value,
}

#[derive(QueryableByName)]
struct Plan {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    plan: String,
}

/// Runs the prepared statement that contains `part` with the arguments, as SQL, and takes back what it did.
pub(super) async fn explain(connection: &mut AsyncPgConnection, part: &str, arguments: &str) -> Reading {
    let part = part.replace('\'', "''");
    let found = format!(
        "SELECT name FROM pg_prepared_statements
         WHERE position('{part}' IN statement) > 0 AND statement NOT LIKE '%pg_prepared_statements%'"
    );
    let found = sql::lines(connection, &found).await;
    let [name] = found.as_slice() else { panic!("{} prepared statements contain {part}", found.len()) };
    sql::run(connection, "BEGIN").await;
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) EXECUTE \"{name}\" ({arguments})");
    let row: Plan =
        sql_query(&explain).get_result(connection).await.unwrap_or_else(|error| panic!("{error}: {explain}"));
    sql::run(connection, "ROLLBACK").await;
    let plan: Value = serde_json::from_str(&row.plan).unwrap();
    Reading { plan: plan[0]["Plan"].clone() }
}

impl Reading {
    /// Fails unless every big table is read by an index (or by ctid) and no more than `most` of their rows are looked at.
    pub(super) fn is_bounded(&self, what: &str, most: f64) {
        let mut nodes = Vec::new();
        collect(&self.plan, &mut nodes);
        let mut read = 0.0;
        for node in nodes {
            let table = node["Relation Name"].as_str().unwrap_or_default();
            if !BIG.iter().any(|big| table.starts_with(big)) {
                continue;
            }
            let kind = node["Node Type"].as_str().unwrap_or_default();
            let loops = number(node, "Actual Loops");
            assert!(
                kind != "Seq Scan" || loops == 0.0,
                "{what}: reads {table} from end to end\n{}",
                outline(&self.plan, 0)
            );
            if kind.contains("Scan") {
                let dropped = number(node, "Rows Removed by Filter") + number(node, "Rows Removed by Index Recheck");
                read += (number(node, "Actual Rows") + dropped) * loops;
            }
        }
        assert!(read <= most, "{what}: reads {read} rows, more than {most}\n{}", outline(&self.plan, 0));
    }

    /// Big tables and partitions looked into, in alphabetical order.
    pub(super) fn tables(&self) -> Vec<&str> {
        let mut nodes = Vec::new();
        collect(&self.plan, &mut nodes);
        let executed = nodes.into_iter().filter(|node| number(node, "Actual Loops") > 0.0);
        let tables = executed.filter_map(|node| node["Relation Name"].as_str());
        let big = tables.filter(|table| BIG.iter().any(|big| table.starts_with(big)));
        big.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Fails if a table was read at all.
    pub(super) fn reads_nothing_of(&self, table: &str) {
        let mut nodes = Vec::new();
        collect(&self.plan, &mut nodes);
        let is_read = nodes.into_iter().any(|node| {
            let is_scan = node["Node Type"].as_str().is_some_and(|kind| kind.contains("Scan"));
            is_scan && node["Relation Name"] == table && number(node, "Actual Loops") > 0.0
        });
        assert!(!is_read, "reads {table}\n{}", outline(&self.plan, 0));
    }

    /// Pages looked at.
    pub(super) fn pages(&self) -> f64 {
        number(&self.plan, "Shared Hit Blocks") + number(&self.plan, "Shared Read Blocks")
    }

    /// Rows that came out at the top.
    pub(super) fn rows(&self) -> f64 {
        number(&self.plan, "Actual Rows")
    }
}

/// The plan for people.
fn outline(node: &Value, depth: usize) -> String {
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let mut lines = format!(
        "{:indent$}{} {} {} {} rows={} loops={} removed={} {}\n",
        "",
        text("Node Type"),
        text("Relation Name"),
        text("Index Name"),
        text("Subplan Name"),
        number(node, "Actual Rows"),
        number(node, "Actual Loops"),
        number(node, "Rows Removed by Filter"),
        text("Index Cond"),
        indent = depth * 2
    );
    for child in node["Plans"].as_array().into_iter().flatten() {
        lines += &outline(child, depth + 1);
    }
    lines
}

fn collect<'a>(node: &'a Value, nodes: &mut Vec<&'a Value>) {
    nodes.push(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        collect(child, nodes);
    }
}

fn number(node: &Value, key: &str) -> f64 {
    node[key].as_f64().unwrap_or_default()
}
