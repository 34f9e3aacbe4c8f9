//! The schema that an upgrade makes.

use crate::support::{database::Database, release::Release};

/// It is the one of a new installation; so no migration was edited that is released. And reverting what is new makes the previous one.
#[tokio::test]
async fn an_upgraded_schema_is_a_fresh_one_and_reverts_to_the_previous_one() {
    let (previous, current) = (Release::previous(), Release::current());
    let (upgraded, fresh) = (Database::empty().await, Database::empty().await);
    previous.migrates(upgraded.url()).await;
    let (shape, versions) = (upgraded.shape().await, upgraded.versions().await);
    assert!(shape.len() > 100, "{}", shape.len());

    current.migrates(upgraded.url()).await;
    current.migrates(fresh.url()).await;
    assert_eq!(differences(&upgraded.shape().await, &fresh.shape().await), NONE, "upgraded, fresh");
    assert_eq!(upgraded.versions().await, fresh.versions().await);

    for _ in versions.len()..upgraded.versions().await.len() {
        assert_eq!(current.migrate(upgraded.url(), &["revert"]).await.code, Some(0));
    }
    assert_eq!(differences(&upgraded.shape().await, &shape), NONE, "reverted, previous");
    assert_eq!(upgraded.versions().await, versions);
}

const NONE: [Vec<String>; 2] = [vec![], vec![]];

/// What only one of two shapes has.
fn differences(a: &[String], b: &[String]) -> [Vec<String>; 2] {
    [(a, b), (b, a)].map(|(one, other)| one.iter().filter(|line| !other.contains(line)).cloned().collect())
}
