//! The databases that the other crates' tests get.

mod support;

use local_pg::testing;
use support::{ask, connect};

#[tokio::test]
async fn every_test_has_its_own_database() {
    let (one, two) = tokio::join!(testing::database(), testing::database());
    assert_ne!(one.name(), two.name());
    ask(one.url(), "CREATE TABLE only_here ()").await;
    assert_eq!(ask(two.url(), "SELECT to_regclass('only_here') IS NULL").await, "t");
    assert_eq!(ask(one.url(), "SELECT current_database()").await, one.name());
}

#[tokio::test]
async fn templates_are_made_once_by_concurrent_tests() {
    let server = testing::server_with(&[]);
    let make = || testing::migrated_database(&server);
    let _databases = tokio::join!(make(), make(), make(), make());
    let templates = "SELECT count(*) FROM pg_database WHERE datname LIKE 'taskrow_template_%' AND datistemplate";
    assert_eq!(ask(&server.url("postgres"), templates).await, "1");
}

#[tokio::test]
async fn an_empty_database_has_no_tables() {
    let database = testing::empty_database().await;
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(ask(database.url(), tables).await, "0");
}

#[tokio::test]
async fn a_dropped_database_goes_even_with_a_client_in_it() {
    let server = testing::server_with(&[]);
    let database = testing::migrated_database(&server).await;
    let _client_and_connection = connect(database.url()).await.unwrap();
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", database.name());
    drop(database);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while ask(&server.url("postgres"), &left).await != "0" {
        assert!(tokio::time::Instant::now() < deadline, "still there");
    }
}

#[tokio::test]
async fn a_database_may_outlive_its_server() {
    let server = testing::server_with(&[]);
    let database = testing::migrated_database(&server).await;
    drop(server);
    drop(database);
}

#[test]
fn tests_can_ask_for_a_major() {
    for installation in support::installations() {
        let server = testing::own_server(installation.major());
        assert_eq!(server.installation().major(), installation.major());
    }
}
