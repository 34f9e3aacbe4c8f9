//! Making partitions ahead.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use schema::{migrate, partitions};

use crate::support::{Empty, empty};

async fn migrated() -> Empty {
    let empty = empty().await;
    migrate::up(&empty.database, 0, Duration::from_secs(60)).await.unwrap();
    empty
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_makers_each_partition_is_made_by_one() {
    let empty = migrated().await;
    let mut makers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut connection = empty.connect().await;
        makers.spawn(async move { partitions::create_ahead(&mut connection, 5).await.unwrap() });
    }
    let mut made = makers.join_all().await.concat();
    made.sort();
    assert_eq!(made.len(), 3 * 5);
    made.dedup();
    assert_eq!(made.len(), 3 * 5);
    assert_eq!(partitions::days(&mut empty.connect().await).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_partition_has_all_that_its_table_has() {
    let empty = migrated().await;
    let day = partitions::days(&mut empty.connect().await).await.unwrap()[0];
    for (parent, column) in partitions::PARENTS {
        let name = partitions::name(parent, day);
        for what in [
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'taskrow.{}'::regclass",
            "SELECT replace(regexp_replace(indexdef, '^.* USING', ''), 'ONLY', '') FROM pg_indexes WHERE schemaname = 'taskrow' AND tablename = '{}'",
            "SELECT column_name || coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = 'taskrow' AND table_name = '{}'",
        ] {
            let of_parent = empty.lines(&what.replace("{}", parent)).await;
            assert_eq!(empty.lines(&what.replace("{}", &name)).await, of_parent, "{name}");
            assert!(what.contains("contype") || of_parent.iter().any(|line| line.contains(column)));
        }
    }
}

/// A day that began without partitions is left to the default ones, with all its tables.
#[tokio::test]
async fn a_day_with_rows_in_a_default_partition_gets_none() {
    let empty = migrated().await;
    let mut connection = empty.connect().await;
    let tomorrow = partitions::today(&mut connection).await.unwrap().succ_opt().unwrap();
    let (first, _) = partitions::bounds(tomorrow);
    let insert =
        format!("INSERT INTO taskrow.failures (task_id, worker, attempt, error) VALUES ('{first}', 1, 1, 'x')");
    connection.batch_execute(&insert).await.unwrap();
    let made = partitions::create_ahead(&mut connection, 2).await.unwrap();
    assert_eq!(made.len(), 3);
    assert!(!partitions::days(&mut connection).await.unwrap().contains(&tomorrow));
}

/// Somebody reads the default partition for long: others must not wait behind the maker for as long.
#[tokio::test]
async fn a_maker_that_cannot_have_its_lock_gives_up() {
    let empty = migrated().await;
    let mut reader = empty.connect().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM taskrow.records_default").await.unwrap();
    let mut maker = empty.connect().await;
    assert!(partitions::create_ahead(&mut maker, 1).await.is_err());
    reader.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(partitions::create_ahead(&mut maker, 1).await.unwrap().len(), 3);
}
