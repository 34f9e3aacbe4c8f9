//! `table!` definitions against the tables.

use std::time::Duration;

use schema::migrate;

use crate::support::empty;

/// Postgres' name of a type that `table!` names. (`Text` is `varchar` too.)
fn type_of(diesel: &str) -> &str {
    match diesel {
        "Int2" => "smallint",
        "Int4" => "integer",
        "Int8" => "bigint",
        "Text" => "text",
        "Bool" => "boolean",
        "Uuid" => "uuid",
        "Json" => "json",
        "Timestamp" => "timestamp without time zone",
        "Timestamptz" => "timestamp with time zone",
        "Array<Text>" => "text[]",
        other => panic!("teach this test the type {other}"),
    }
}

/// What the source of `table!` says, as `schema.table column type null`.
fn defined() -> Vec<String> {
    let mut table = String::new();
    let mut columns = Vec::new();
    for line in include_str!("../../src/tables.rs").lines().map(str::trim) {
        if let Some((name, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            let inner = kind.strip_prefix("Nullable<").and_then(|kind| kind.strip_suffix('>'));
            let null = if inner.is_some() { "null" } else { "not null" };
            columns.push(format!("{table} {name} {} {null}", type_of(inner.unwrap_or(kind))));
        } else if let Some((name, _)) = line.strip_suffix(" {").and_then(|line| line.split_once(" (")) {
            table = if name.contains('.') { name.to_owned() } else { format!("public.{name}") };
        }
    }
    columns.sort();
    columns
}

#[tokio::test]
async fn every_column_is_there_with_its_type() {
    let empty = empty().await;
    migrate::up(&empty.database, 0, Duration::from_secs(60)).await.unwrap();
    let defined = defined();
    assert!(defined.len() > 10, "{defined:?}");
    let mut tables: Vec<_> = defined.iter().filter_map(|line| line.split(' ').next()).collect();
    tables.dedup();
    let names: Vec<_> = tables.iter().map(|table| format!("'{table}'")).collect();
    let query = format!(
        "SELECT n.nspname || '.' || c.relname || ' ' || a.attname || ' ' || regexp_replace(format_type(a.atttypid, a.atttypmod), '^character varying.*', 'text')
                || CASE WHEN a.attnotnull THEN ' not null' ELSE ' null' END
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname || '.' || c.relname IN ({}) AND a.attnum > 0 AND NOT a.attisdropped",
        names.join(", ")
    );
    let mut found = empty.lines(&query).await;
    found.sort();
    assert_eq!(found, defined);
}
