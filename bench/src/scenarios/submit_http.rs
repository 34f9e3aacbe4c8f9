//! `POST /tasks`, one task per request.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;

use crate::{
    figures::{Figures, Target, at_least},
    http::{closed_loop, post},
    load::payload,
    pgbench,
    scenario::Scenario,
    server::{Bench, Setup},
};

/// What a table of tasks with a row each would store, and nothing more than its key is indexed.
const TABLE: &str = "CREATE TABLE bench_rows (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz NOT NULL DEFAULT now(), queue text NOT NULL, kind text NOT NULL,
    priority smallint NOT NULL, max_attempts smallint NOT NULL, timeout_ms integer NOT NULL, status smallint NOT NULL, payload json NOT NULL)";

const CLIENTS: [usize; 2] = [16, 64];

/// POST /tasks, one task per request, by our own closed loop of keep-alive connections, against pgbench storing a row per transaction.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct SubmitHttp {
    /// Keep-alive connections, one step each.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256")]
    connections: Vec<usize>,
    /// Length of each step, in seconds.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

impl Scenario for SubmitHttp {
    const NAME: &'static str = "submit_http";
    const TARGETS: &'static [Target] = &[at_least("ratio", 2.0)];

    fn smoke() -> Self {
        Self { connections: vec![16], seconds: 1, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        bench.run(TABLE).await?;
        let (_api, address) = bench.spawn_api(&[]).await?;
        let requests = Arc::new(vec![post("/tasks", &payload(self.payload_bytes))]);
        let time = Duration::from_secs(self.seconds);
        let mut figures = Figures::default();
        let (mut best, mut p99_of_best, mut inserts, mut answered) = (0.0, f64::NAN, 0.0_f64, 0);
        for (step, connections) in self.connections.iter().enumerate() {
            bench.settle().await?;
            let rate = closed_loop(&address, *connections, time, &requests).await?;
            answered += rate.answered;
            figures.set(format!("requests_per_s_{connections}"), rate.requests_per_s);
            figures.set(format!("p50_ms_{connections}"), rate.p50_ms);
            figures.set(format!("p99_ms_{connections}"), rate.p99_ms);
            if rate.requests_per_s > best {
                (best, p99_of_best) = (rate.requests_per_s, rate.p99_ms);
            }
            // Between our own steps, so that both meet the machine in the same mood.
            if let Some(clients) = CLIENTS.get(step) {
                bench.settle().await?;
                inserts = inserts.max(pgbench::transactions_per_s(&bench.url, &self.insert(), *clients, time)?);
            }
        }
        bench.check_stored(answered).await?;
        figures.set("requests_per_s", best);
        figures.set("p99_ms", p99_of_best);
        figures.set("pgbench_inserts_per_s", inserts);
        figures.set("ratio", best / inserts);
        Ok(figures)
    }
}

impl SubmitHttp {
    fn insert(&self) -> String {
        let payload = payload(self.payload_bytes);
        format!(
            "INSERT INTO bench_rows (queue, kind, priority, max_attempts, timeout_ms, status, payload)
             VALUES ('default', 'echo', 0, 20, 3600000, 0, '{payload}');"
        )
        .replace('\n', " ")
    }
}
