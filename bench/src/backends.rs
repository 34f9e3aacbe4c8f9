//! Both queue backends, in turns: what telling workers through Redis costs and gives.

use std::collections::BTreeMap;

use dispatch::Backend;
use serde_json::{Value, json};
use service::exit::Failure;

use crate::{drain, latency, machine};

/// Figures of a drain and of a latency run that are compared.
const DRAIN: [&str; 5] = [
    "tasks_per_s",
    "wal_bytes_per_task_run",
    "postgres_cpu_us_per_task",
    "worker_cpu_us_per_task",
    "dead_rows_per_task",
];
const LATENCY: [&str; 5] =
    ["start_p50_ms", "start_p99_ms", "answer_p50_ms", "wal_bytes_per_task", "postgres_cpu_us_per_task"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; each runs every scenario with each backend. Figures are medians over rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    drain: drain::Args,
    /// Tasks of a latency run.
    #[arg(long, default_value_t = 1000)]
    latency_tasks: usize,
}

pub(crate) async fn run(args: Args) -> Result<Value, Failure> {
    let mut runs: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    let backends = [("postgres", Backend::Postgres), ("redis", Backend::Redis)];
    for _ in 0..args.rounds.max(1) {
        for (name, backend) in backends {
            runs.entry(("drain", name)).or_default().push(drain::run(args.drain.on(backend)).await?);
        }
        for (name, backend) in backends {
            let run = latency::Args { tasks: args.latency_tasks, pause_ms: 20, backend };
            runs.entry(("latency", name)).or_default().push(latency::run(run).await?);
        }
    }
    let medians = |scenario, figures: &[&str]| {
        let of = |backend: &str| -> Value {
            let runs = &runs[&(scenario, backend)];
            figures
                .iter()
                .map(|figure| ((*figure).to_owned(), json!(median(runs, figure))))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({ "postgres": of("postgres"), "redis": of("redis") })
    };
    let machine = runs[&("drain", "redis")].first().map(|run| run["machine"].clone());
    Ok(json!({
        "scenario": "backends",
        "machine": machine,
        "rounds": args.rounds,
        "drain_tasks": args.drain.tasks,
        "latency_tasks": args.latency_tasks,
        "drain": medians("drain", &DRAIN),
        "latency": medians("latency", &LATENCY),
    }))
}

fn median(runs: &[Value], figure: &str) -> f64 {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| run[figure].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    machine::percentile(&values, 0.5)
}
