//! Many clients that keep their connections.

use std::time::Duration;

use clap::Parser;
use dispatch::Backend;
use serde::Serialize;
use service::exit::Failure;
use tokio::{task::JoinSet, time};

use crate::{
    figures::{Figures, Target, at_most},
    http::{Connection, post},
    load::payload,
    machine,
    scenario::Scenario,
    server::{Bench, Setup},
    together,
};

/// Many keep-alive HTTP clients, each submitting now and then: memory of the api, and its connections to Postgres.
#[derive(Parser, Serialize, Clone, Debug)]
pub(crate) struct Connections {
    /// Clients.
    #[arg(long, default_value_t = 2_000)]
    clients: usize,
    /// Requests of each client, all clients at once each time.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 17)]
    payload_bytes: usize,
}

impl Scenario for Connections {
    const NAME: &'static str = "connections";
    const TARGETS: &'static [Target] = &[at_most("rss_mb", 150.0), at_most("db_connections", 16.0)];

    fn smoke() -> Self {
        Self { clients: 100, rounds: 2, ..Self::defaults() }
    }

    async fn run(&self, setup: &Setup) -> Result<Figures, Failure> {
        let mut bench = Bench::start(setup, Backend::Postgres).await?;
        let (api, address) = bench.spawn_api(&[]).await?;
        let rss_idle = machine::rss_mb(api.id());
        let mut clients = Vec::with_capacity(self.clients);
        for _ in 0..self.clients {
            clients.push(Connection::open(&address).await?);
        }
        let request = post("/tasks", &payload(self.payload_bytes));
        for _ in 0..self.rounds {
            let mut sending = JoinSet::new();
            for mut client in clients {
                let request = request.clone();
                sending.spawn(async move {
                    client.send(&request).await?;
                    Ok(client)
                });
            }
            clients = together::all(sending).await?;
            time::sleep(Duration::from_millis(100)).await;
        }
        let mut figures = Figures::default();
        figures.set("rss_mb", machine::rss_mb(api.id()));
        figures.set("rss_mb_idle", rss_idle);
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%api%'";
        figures.set("db_connections", bench.number(query).await? as f64);
        Ok(figures)
    }
}
