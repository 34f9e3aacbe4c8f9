//! That the previous release is kept up.

use crate::support::release::{Release, named};

/// A release without a change of `migrations/previous-release` would be tried beside itself.
#[test]
fn the_previous_release_is_an_older_one() {
    let numbers = |version: &str| version.split('.').map(|part| part.parse().expect(version)).collect::<Vec<u32>>();
    let (version, commit) = named();
    let current = env!("CARGO_PKG_VERSION");
    assert!(numbers(version) < numbers(current), "{version} is not before {current}: see CONTRIBUTING.md, Releases");
    let is_full_hash = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_full_hash, "not a full commit hash: {commit}");
}

#[test]
fn both_are_built() {
    assert_ne!(Release::previous().version, Release::current().version);
}
