//! Does what the schedule says, and undoes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use service::exit::Failure;
use tokio::{task::block_in_place, time};
use tokio_postgres::{Client, NoTls};

use crate::{
    clock, disk,
    fault::{End, Fault, Whom},
    history::Event,
    proxy::Mode,
    schedule::Planned,
    system::{Node, System},
    writer::Writer,
};

/// How long a process may take that was told to end in order.
const END_LIMIT: Duration = Duration::from_secs(30);
/// Backends of those under test.
const THEIRS: &str = "datname = 'app' AND usename IN ('app', 'taskrow_api', 'taskrow_worker')";

/// A fault that is over, by the system's clock, in microseconds since 1970. (It is the database's clock, too.)
#[derive(Clone, Debug)]
pub struct Happened {
    /// Which.
    pub planned: Planned,
    /// Since when.
    pub began: i64,
    /// Since when everything runs again.
    pub over: i64,
    /// The identity of the worker that it took, if it took one.
    pub victim: Option<i64>,
}

/// Now, by the system's clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Does it, waits, undoes it.
pub async fn inject(system: &System, history: &Writer, planned: Planned) -> Result<Happened, Failure> {
    let victim = match planned.fault {
        Fault::KillWorker(n) | Fault::SkewWorker(n, _) | Fault::FreezeWorker(n) => newest(system, n).await?,
        _ => None,
    };
    history.write(Event::Fault { number: planned.number, what: planned.fault.to_string() });
    let began = now();
    if matches!(planned.fault, Fault::RestartPostgres(End::Immediate | End::Killed) | Fault::DiskFull) {
        history.write(Event::Crash);
    }
    one(system, planned.fault, planned.lasts).await?;
    history.write(Event::Over { number: planned.number });
    Ok(Happened { planned, began, over: now(), victim })
}

/// The identity that a worker has now; none if it has not registered.
async fn newest(system: &System, worker: usize) -> Result<Option<i64>, Failure> {
    let sql =
        format!("SELECT coalesce(max(id), 0) FROM taskrow.workers WHERE name = 'worker-{worker}' AND dead_at IS NULL");
    Ok(Some(system.admin.number(&sql).await?).filter(|id| *id > 0))
}

async fn one(system: &System, fault: Fault, lasts: Duration) -> Result<(), Failure> {
    match fault {
        Fault::KillWorker(n) => kill(&system.workers[n], lasts).await,
        Fault::KillApi(n) => kill(&system.apis[n], lasts).await,
        Fault::TermWorker(n) => term(&system.workers[n], lasts).await,
        Fault::TermApi(n) => term(&system.apis[n], lasts).await,
        Fault::FreezeWorker(n) => freeze(&system.workers[n], lasts).await,
        Fault::FreezeApi(n) => freeze(&system.apis[n], lasts).await,
        Fault::SkewWorker(n, minutes) => skew(&system.workers[n], minutes).await,
        Fault::TerminateSome => {
            for _ in 0..5 {
                terminate(system, "ORDER BY random() LIMIT 1").await?;
                time::sleep(lasts / 5).await;
            }
            Ok(())
        }
        Fault::TerminateAll => terminate(system, "").await,
        Fault::RestartPostgres(end) => restart_postgres(system, end, lasts).await,
        Fault::Cut(whom) => network(system, whom, Mode::Cut, lasts).await,
        Fault::Swallow(whom) => network(system, whom, Mode::Swallow, lasts).await,
        Fault::Delay(whom, pause) => network(system, whom, Mode::Delay(pause), lasts).await,
        Fault::Throttle(whom, rate) => network(system, whom, Mode::Throttle(rate), lasts).await,
        Fault::ExhaustConnections => exhaust(system, lasts).await,
        Fault::ReadOnly => read_only(system, lasts).await,
        Fault::DiskFull => disk_full(system, lasts).await,
        Fault::KillPooler => {
            let mut pooler = system.pooler.lock().await;
            block_in_place(|| pooler.kill()).map_err(Failure::software)?;
            time::sleep(lasts).await;
            block_in_place(|| pooler.start_again()).map_err(Failure::software)
        }
        Fault::FlushRedis | Fault::RestartRedis | Fault::CutRedis | Fault::SwallowRedis => {
            redis(system, fault, lasts).await
        }
    }
}

async fn kill(node: &Node, lasts: Duration) -> Result<(), Failure> {
    let mut process = node.process.lock().await;
    process.kill().await?;
    time::sleep(lasts).await;
    process.start()
}

async fn term(node: &Node, lasts: Duration) -> Result<(), Failure> {
    let mut process = node.process.lock().await;
    process.signal(Signal::TERM)?;
    match process.ended(END_LIMIT).await? {
        Some(None | Some(0)) => {}
        Some(Some(code)) => {
            return Err(Failure::software(format!("{} ended with {code} after SIGTERM", process.name())));
        }
        None => return Err(Failure::software(format!("{} still runs {END_LIMIT:?} after SIGTERM", process.name()))),
    }
    time::sleep(lasts).await;
    process.start()
}

async fn freeze(node: &Node, lasts: Duration) -> Result<(), Failure> {
    let process = node.process.lock().await;
    process.signal(Signal::STOP)?;
    time::sleep(lasts).await;
    process.signal(Signal::CONT)
}

async fn skew(node: &Node, minutes: i32) -> Result<(), Failure> {
    let environment = clock::off_by(minutes)?;
    let mut process = node.process.lock().await;
    process.kill().await?;
    for (name, value) in environment {
        process.set(name, value);
    }
    process.start()
}

async fn terminate(system: &System, which: &str) -> Result<(), Failure> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE {THEIRS} {which}) AS chosen"
    );
    system.admin.insist(&sql).await
}

async fn restart_postgres(system: &System, end: End, lasts: Duration) -> Result<(), Failure> {
    let mut server = system.postgres.lock().await;
    block_in_place(|| match end {
        End::Fast => server.stop(local_pg::StopMode::Fast),
        End::Immediate => server.stop(local_pg::StopMode::Immediate),
        End::Killed => server.kill(),
    })
    .map_err(Failure::software)?;
    time::sleep(lasts).await;
    block_in_place(|| server.start()).map_err(Failure::software)
}

async fn network(system: &System, whom: Whom, mode: Mode, lasts: Duration) -> Result<(), Failure> {
    let networks: Vec<_> = match whom {
        Whom::Api(n) => vec![&system.apis[n].network],
        Whom::Worker(n) => vec![&system.workers[n].network],
        Whom::Pooler => vec![&system.pooler_network],
        Whom::All => system.nodes().map(|node| &node.network).chain([&system.pooler_network]).collect(),
    };
    networks.iter().for_each(|network| network.set(mode));
    time::sleep(lasts).await;
    networks.iter().for_each(|network| network.set(Mode::Pass));
    Ok(())
}

/// Takes connections until there are none, as the same role, and ends theirs, so that they find none.
async fn exhaust(system: &System, lasts: Duration) -> Result<(), Failure> {
    let tasks = service::tasks::Tasks::new();
    let mut taken: Vec<Client> = Vec::new();
    let end = time::Instant::now() + lasts;
    while time::Instant::now() < end {
        match time::timeout(Duration::from_secs(2), tokio_postgres::connect(&system.owner_url, NoTls)).await {
            Ok(Ok((client, connection))) => {
                tasks.spawn_detached(async {
                    let _ = connection.await;
                });
                taken.push(client);
            }
            // Full. Theirs go, and whoever is quicker has the free places.
            _ => {
                let ours = "AND application_name LIKE 'taskrow%' ORDER BY random() LIMIT 10";
                terminate(system, ours).await?;
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    Ok(())
}

async fn read_only(system: &System, lasts: Duration) -> Result<(), Failure> {
    let admin = &system.admin;
    admin.insist("ALTER SYSTEM SET default_transaction_read_only = on").await?;
    admin.insist("SELECT pg_reload_conf()").await?;
    time::sleep(lasts).await;
    admin.insist("BEGIN READ WRITE; COMMIT; SET default_transaction_read_only = off").await?;
    admin.insist("ALTER SYSTEM RESET default_transaction_read_only").await?;
    admin.insist("SELECT pg_reload_conf()").await
}

async fn disk_full(system: &System, lasts: Duration) -> Result<(), Failure> {
    let mut server = system.postgres.lock().await;
    let Some(postmaster) = server.pid() else { return Ok(()) };
    disk::fill(postmaster)?;
    time::sleep(lasts).await;
    disk::free(postmaster)?;
    // It may have given up, when it could not even recover. Then somebody makes room and starts it.
    block_in_place(|| server.start()).map_err(Failure::software)?;
    system.admin.clock().await.map(drop)
}

async fn redis(system: &System, fault: Fault, lasts: Duration) -> Result<(), Failure> {
    let Some(server) = &system.redis else { return Ok(()) };
    let networks: Vec<_> = system.nodes().filter_map(|node| node.redis_network.as_ref()).collect();
    match fault {
        Fault::FlushRedis => flush(&server.lock().await.address()).await,
        Fault::RestartRedis => {
            let mut server = server.lock().await;
            block_in_place(|| server.kill()).map_err(Failure::software)?;
            time::sleep(lasts).await;
            block_in_place(|| server.start_again()).map_err(Failure::software)
        }
        _ => {
            let mode = if fault == Fault::CutRedis { Mode::Cut } else { Mode::Swallow };
            networks.iter().for_each(|network| network.set(mode));
            time::sleep(lasts).await;
            networks.iter().for_each(|network| network.set(Mode::Pass));
            Ok(())
        }
    }
}

async fn flush(address: &str) -> Result<(), Failure> {
    let client = redis::Client::open(format!("redis://{address}")).map_err(Failure::software)?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(Failure::software)?;
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.map_err(Failure::software)
}
