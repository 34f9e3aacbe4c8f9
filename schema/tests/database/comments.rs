//! The database documents itself.

use std::time::Duration;

use schema::migrate;

use crate::support::empty;

/// What must have a comment, and has none. Partitions share their table's constraints and indexes.
const SILENT: &[(&str, &str)] = &[
    ("schema", "SELECT nspname FROM pg_namespace n WHERE nspname = 'taskrow' AND obj_description(oid, 'pg_namespace') IS NULL"),
    (
        "table, view or sequence",
        "SELECT oid::regclass FROM pg_class
         WHERE (relnamespace = 'taskrow'::regnamespace OR oid = 'public.tasks'::regclass) AND relkind IN ('r', 'p', 'v', 'S', 'm')
           AND obj_description(oid, 'pg_class') IS NULL",
    ),
    (
        "index",
        "SELECT oid::regclass FROM pg_class
         WHERE relnamespace = 'taskrow'::regnamespace AND relkind IN ('i', 'I') AND NOT relispartition
           AND obj_description(oid, 'pg_class') IS NULL",
    ),
    (
        "constraint",
        "SELECT conrelid::regclass || ' ' || conname FROM pg_constraint
         WHERE connamespace = 'taskrow'::regnamespace AND contype IN ('p', 'c', 'u', 'f', 'x') AND coninhcount = 0
           AND NOT (SELECT relispartition FROM pg_class WHERE oid = conrelid)
           AND obj_description(oid, 'pg_constraint') IS NULL",
    ),
    (
        "function",
        "SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'taskrow'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL",
    ),
];

#[tokio::test]
async fn everything_has_a_comment() {
    let empty = empty().await;
    migrate::up(&empty.database, 1, Duration::from_secs(60)).await.unwrap();
    for (what, silent) in SILENT {
        assert_eq!(empty.lines(silent).await, Vec::<String>::new(), "{what} without a comment");
    }
}
