//! What is measured, one file each.

mod backlog;
mod compare;
mod connections;
mod drain;
mod held_snapshot;
mod idle;
mod latency;
mod read_http;
mod redis;
mod scale;
mod steady;
mod submit_batch;
mod submit_http;

pub(crate) use self::{
    backlog::Backlog, compare::Compare, connections::Connections, drain::Drain, held_snapshot::HeldSnapshot,
    idle::Idle, latency::Latency, read_http::ReadHttp, redis::Redis, scale::Scale, steady::Steady,
    submit_batch::SubmitBatch, submit_http::SubmitHttp,
};
