//! The API over real connections, on a real Postgres.

mod support;

mod access;
mod admission;
mod batch;
mod bodies;
mod callbacks;
mod cancel;
mod document;
mod errors;
mod events;
mod explain;
mod group_commit;
mod hostile;
mod idempotency;
mod list;
mod load_test;
mod outage;
mod pooler;
mod probes;
mod queues;
mod reads;
mod redis_mode;
mod retry;
mod stop;
mod strict;
mod submit;
mod task;
mod unique;
mod waiting;
mod wakeups;
mod workers;
