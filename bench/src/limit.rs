//! What Postgres can do with our statements when nothing else is to be done.

use std::time::Duration;

use queue::{
    Json, Lane,
    claim::{Claimed, Floors, claim},
    finish::{Finished, Outcome, finish},
    session,
    task::Name,
    workers::{Registration, register},
};
use service::{
    database::{Database, LinkError},
    exit::Failure,
};
use tokio::{task::JoinSet, time::Instant};

use crate::{load::load, server::Bench, together};

/// Sessions that claim and finish.
const SESSIONS: usize = 2;
/// Tasks in one claim and in one finish: as many as a worker takes by default.
const PAGE: usize = 1000;

/// Loads tasks, then claims and finishes them in a loop by two bare sessions: no worker, no handler, no wakeups. Tasks per second.
pub(crate) async fn tasks_per_s(bench: &mut Bench, tasks: usize, payload_bytes: usize) -> Result<f64, Failure> {
    load(bench, tasks, payload_bytes).await?;
    bench.settle().await?;
    let started = Instant::now();
    let mut sessions = JoinSet::new();
    for _ in 0..SESSIONS {
        sessions.spawn(session(bench.database.clone()));
    }
    let finished: usize = together::all(sessions).await?.into_iter().sum();
    let took = started.elapsed();
    if finished != tasks {
        return Err(Failure::software(format!("bare sessions finished {finished} of {tasks} tasks")));
    }
    Ok(tasks as f64 / took.as_secs_f64())
}

async fn session(database: Database) -> Result<usize, Failure> {
    run(&database).await.map_err(Failure::software)
}

async fn run(database: &Database) -> Result<usize, LinkError> {
    let mut claims = database.link(session::VOLATILE.named("bare-claims"));
    let mut finishes = database.link(session::DURABLE.named("bare-finishes"));
    let lane = Lane { queue: name("default"), kind: name("echo") };
    let registration = Registration {
        name: "bare".to_owned(),
        version: "0".to_owned(),
        lease_ttl: Duration::from_secs(3600),
        concurrency: 1,
        queues: vec![lane.queue.clone()],
        kinds: vec![lane.kind.clone()],
    };
    let worker = claims.run(async |connection| register(connection, &registration).await).await?;
    let (lanes, mut floors, rows) = ([lane], Floors::default(), PAGE.div_ceil(queue::id::BATCH_SIZE) + 1);
    let mut done = 0;
    loop {
        let claimed =
            claims.run(async |connection| claim(connection, worker, PAGE, rows, &lanes, &mut floors).await).await?;
        if claimed.is_empty() {
            return Ok(done);
        }
        floors.settle();
        done += claimed.len();
        let finished: Vec<Finished> = claimed.into_iter().map(echo).collect();
        finishes.run(async |connection| finish(connection, worker, &finished).await).await?;
    }
}

fn echo(task: Claimed) -> Finished {
    let result: Json = task.payload;
    Finished { lease: task.lease, id: task.id, outcome: Outcome::Done(result) }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a constant")
}
