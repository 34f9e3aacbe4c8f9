//! `POST /tasks/batch`.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;

use crate::{
    figures::{Figures, Target, at_least},
    http::{closed_loop, post},
    load::payload,
    scenario::Scenario,
    server::{Bench, Setup},
};

/// POST /tasks/batch with many tasks per request, by our own closed loop.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct SubmitBatch {
    /// Tasks of each request.
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Seconds.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

impl Scenario for SubmitBatch {
    const NAME: &'static str = "submit_batch";
    const TARGETS: &'static [Target] = &[at_least("tasks_per_s", 100_000.0)];

    fn smoke() -> Self {
        Self { seconds: 1, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let (_api, address) = bench.spawn_api(&[]).await?;
        let task = format!(r#"{{"payload":{}}}"#, payload(self.payload_bytes));
        let body = format!("[{}]", vec![task; self.batch].join(","));
        let requests = Arc::new(vec![post("/tasks/batch", &body)]);
        let rate = closed_loop(&address, self.connections, Duration::from_secs(self.seconds), &requests).await?;
        bench.check_stored(rate.answered * self.batch).await?;
        let mut figures = Figures::default();
        figures.set("tasks_per_s", rate.requests_per_s * self.batch as f64);
        figures.set("p50_ms", rate.p50_ms);
        figures.set("p99_ms", rate.p99_ms);
        Ok(figures)
    }
}
