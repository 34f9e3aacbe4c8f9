//! What the tests share.

pub(crate) mod database;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod release;
pub(crate) mod system;
