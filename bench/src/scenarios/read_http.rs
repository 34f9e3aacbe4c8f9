//! `GET /tasks/{id}` of finished tasks.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use diesel::{QueryableByName, sql_query, sql_types::Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;
use uuid::Uuid;

use crate::{
    figures::{Figures, Target, at_least},
    http::{closed_loop, get},
    load::load,
    pgbench,
    scenario::Scenario,
    server::{Bench, Setup},
    watch::Progress,
};

/// The same tasks, payload and result in a row each, found by a number.
const TABLE: &str = "CREATE TABLE bench_rows (number, id, queue, kind, priority, max_attempts, timeout_ms, payload, status, result) AS
    SELECT row_number() OVER (ORDER BY r.id), r.id, r.queue, r.kind, r.priority, r.max_attempts, r.timeout_ms, r.payload, o.status, o.result
    FROM taskrow.records r JOIN taskrow.outcomes o ON o.task_id = r.id;
    ALTER TABLE bench_rows ADD PRIMARY KEY (number)";

/// GET /tasks/{id} of finished tasks, by our own closed loop of keep-alive connections, against pgbench selecting a row by its key.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct ReadHttp {
    /// Finished tasks to read, in random order.
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
    /// Keep-alive connections; pgbench has as many.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Length of each step, in seconds.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

impl Scenario for ReadHttp {
    const NAME: &'static str = "read_http";
    const TARGETS: &'static [Target] = &[at_least("ratio", 0.7)];

    fn smoke() -> Self {
        Self { tasks: 2_000, seconds: 1, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        load(&mut bench, self.tasks, self.payload_bytes).await?;
        Progress::start(&bench, 1, 5)?.until_finished(self.tasks).await?;
        bench.run(TABLE).await?;
        bench.settle().await?;
        let query = "SELECT task_id AS id FROM taskrow.outcomes ORDER BY random()";
        let ids: Vec<Id> = bench
            .link
            .run(async |connection| sql_query(query).load(connection).await)
            .await
            .map_err(Failure::software)?;
        let requests = Arc::new(ids.iter().map(|row| get(&format!("/tasks/{}", row.id))).collect());
        let (_api, address) = bench.spawn_api(&[]).await?;
        let time = Duration::from_secs(self.seconds);
        let rate = closed_loop(&address, self.connections, time, &requests).await?;
        let script =
            format!("\\set number random(1, {})\nSELECT * FROM bench_rows WHERE number = :number;\n", self.tasks);
        let selects = pgbench::best_per_s(&bench.url, &script, &[16, self.connections], time)?;
        let mut figures = Figures::default();
        figures.set("requests_per_s", rate.requests_per_s);
        figures.set("p50_ms", rate.p50_ms);
        figures.set("p99_ms", rate.p99_ms);
        figures.set("pgbench_selects_per_s", selects);
        figures.set("ratio", rate.requests_per_s / selects);
        Ok(figures)
    }
}
