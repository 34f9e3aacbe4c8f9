//! A file per route. Each says what it takes and answers, and calls what does the work.

pub(crate) mod batch;
pub(crate) mod cancel;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod list;
pub(crate) mod path;
pub(crate) mod problems;
pub(crate) mod queues;
mod reply;
pub(crate) mod retry;
pub(crate) mod settings;
pub(crate) mod submit;
pub(crate) mod task;
pub(crate) mod workers;
