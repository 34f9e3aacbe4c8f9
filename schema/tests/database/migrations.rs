//! Up, down and up again; several at once; waiting.

use std::time::Duration;

use schema::migrate::{self, Error, Status};
use service::database::Database;

use crate::support::{Empty, empty, empty_on};

const DEADLINE: Duration = Duration::from_secs(60);
const DAYS_AHEAD: u32 = 2;

/// Everything the migrations make, as text. `dev/tests/upgrade` compares releases by it, too.
const OBJECTS: &str = include_str!("objects.sql");

async fn up_down_and_up_again(empty: Empty) {
    let database = &empty.database;
    let versions = migrate::versions();
    let before = migrate::status(database, DEADLINE).await.unwrap();
    assert_eq!(before, Status { applied: vec![], pending: versions.clone() });

    let done = migrate::up(database, DAYS_AHEAD, DEADLINE).await.unwrap();
    assert_eq!(done.applied, versions);
    assert_eq!(done.partitions.len(), 3 * (DAYS_AHEAD as usize + 1));
    let objects = empty.lines(OBJECTS).await;
    assert!(objects.len() > 100, "{}", objects.len());

    let again = migrate::up(database, DAYS_AHEAD, DEADLINE).await.unwrap();
    assert!(again.applied.is_empty() && again.partitions.is_empty());
    assert_eq!(empty.lines(OBJECTS).await, objects);

    for version in versions.iter().rev() {
        assert_eq!(migrate::revert(database, DEADLINE).await.unwrap().as_ref(), Some(version));
    }
    assert_eq!(migrate::revert(database, DEADLINE).await.unwrap(), None);
    let left = "SELECT oid::regclass FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('taskrow', 'public'))";
    let left = empty.lines(left).await;
    assert!(left.iter().all(|name| name.contains("__diesel_schema_migrations")), "{left:?}");

    assert_eq!(migrate::up(database, DAYS_AHEAD, DEADLINE).await.unwrap().applied, versions);
    assert_eq!(empty.lines(OBJECTS).await, objects);
}

#[tokio::test]
async fn up_down_and_up_again_on_the_machines_postgres() {
    up_down_and_up_again(empty().await).await;
}

#[tokio::test]
async fn up_down_and_up_again_on_postgres_16() {
    up_down_and_up_again(empty_on(16).await).await;
}

#[tokio::test]
async fn up_down_and_up_again_on_postgres_18() {
    up_down_and_up_again(empty_on(18).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_migrators_one_applies() {
    let empty = empty().await;
    let mut migrators = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let database = empty.database.clone();
        migrators.spawn(async move { migrate::up(&database, DAYS_AHEAD, DEADLINE).await.unwrap() });
    }
    let done = migrators.join_all().await;
    assert_eq!(done.iter().filter(|done| !done.applied.is_empty()).count(), 1, "{done:?}");
    assert_eq!(done.iter().map(|done| done.partitions.len()).sum::<usize>(), 3 * (DAYS_AHEAD as usize + 1));
    assert_eq!(migrate::status(&empty.database, DEADLINE).await.unwrap().pending, Vec::<String>::new());
}

#[tokio::test]
async fn waiting_ends_when_somebody_has_applied_everything() {
    let empty = empty().await;
    let (waited, done) =
        tokio::join!(migrate::wait(&empty.database, DEADLINE), migrate::up(&empty.database, DAYS_AHEAD, DEADLINE));
    waited.unwrap();
    done.unwrap();
}

#[tokio::test]
async fn waiting_ends_at_the_deadline() {
    let empty = empty().await;
    let error = migrate::wait(&empty.database, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline(..)), "{error}");
    assert!(error.to_string().contains(&migrate::required_version()), "{error}");
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for_until_the_deadline() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let database = Database::from_url(&format!("postgresql://app:secret@{nobody}/app"), "test").unwrap();
    let error = migrate::up(&database, DAYS_AHEAD, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline(..)), "{error}");
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn a_migrator_that_cannot_have_the_lock_gives_up_at_the_deadline() {
    let empty = empty().await;
    let mut holder = empty.connect().await;
    let lock = format!("SELECT pg_advisory_lock({})", i64::from_be_bytes(*b"\0taskrow"));
    diesel_async::SimpleAsyncConnection::batch_execute(&mut holder, &lock).await.unwrap();
    let error = migrate::up(&empty.database, DAYS_AHEAD, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline(..)), "{error}");
}
