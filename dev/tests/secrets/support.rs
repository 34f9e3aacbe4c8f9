//! The binaries of this tree, as the tests of upgrades have them.

#[allow(dead_code, reason = "shared")]
#[path = "../upgrade/support/process.rs"]
pub(crate) mod process;
#[allow(dead_code, reason = "the previous release is of no concern here")]
#[path = "../upgrade/support/release.rs"]
pub(crate) mod release;
