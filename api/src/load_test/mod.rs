//! `api load-test`: posts tasks through the HTTP API as clients do, waits until all are final, and says how it went.
//!
//! It is a client only: it knows nothing of Postgres, and sees what clients see. What it promises:
//!
//! - A task counts when its 201 was read, under its id: none twice, none forgotten. Each of them is read until it is final.
//! - A request whose answer was lost may have stored a task that nobody knows. The request is counted as *unknown* and sent again; what
//!   it may have stored is in no other number.
//! - It asks no more than it must: the tasks are read in pages by one reader, which rests when it has read in vain.
//!
//! In reading order: [`LoadTestArgs`]; `client`: requests; `answer`: what comes of them; `submit`: post all tasks; `watch`: read them until
//! they are final; `depth`: a line of log each second; `ledger`: what is known so far; `summary`: the last line, and the exit code.

mod answer;
mod args;
mod client;
mod depth;
mod ledger;
mod submit;
mod summary;
mod watch;

use std::future::Future;

use futures_util::future::try_join;
use service::{backoff::Backoff, exit::Failure};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

pub use self::args::LoadTestArgs;
use self::{
    client::Client,
    ledger::Ledger,
    summary::{End, Summary},
};

/// Runs a load test to its end, at most until its deadline or `stop`, and logs a summary.
///
/// Errors: exit code 69 when the API is not ready in time, or is away at the deadline; 70 when a task is missing or not final then, was
/// not accepted, when the API refuses a request for good, and after `stop`. Tasks that failed or were cancelled are final: no error.
pub async fn run(args: &LoadTestArgs, stop: CancellationToken) -> Result<(), Failure> {
    let limit = Limit { deadline: Instant::now() + *args.deadline, stop };
    let client = Client::new(args)?;
    let ledger = Ledger::default();
    limit.apply(until_ready(&client, &ledger)).await.map_err(|cut| match cut {
        Cut::Deadline => Failure::unavailable(format!(
            "{} was not ready within {}: {}",
            args.url,
            args.deadline,
            ledger.totals().away.unwrap_or_else(|| "no answer yet".to_owned())
        )),
        Cut::Stopped => Failure::software("stopped by a signal before the API was ready; nothing was submitted"),
    })?;

    let run = Uuid::now_v7();
    info!(run = %run, tasks = args.tasks, concurrency = args.concurrency, queue = %args.queue, kind = %args.kind, "submitting");
    let load = async {
        tokio::select! {
            ended = try_join(submit::submit_all(&client, &ledger, run, args), watch::until_all_final(&client, &ledger, args.tasks)) =>
                ended.map(drop),
            () = depth::log(&client, &ledger) => Ok(()),
        }
    };
    let end = match limit.apply(load).await {
        Ok(Ok(())) => End::Complete,
        Ok(Err(reason)) => End::Refused(reason),
        Err(Cut::Deadline) => End::Deadline,
        Err(Cut::Stopped) => End::Stopped,
    };
    let summary = Summary::new(args.tasks, ledger);
    summary.log();
    summary.verdict(end)
}

async fn until_ready(client: &Client, ledger: &Ledger) {
    let mut backoff = Backoff::default();
    let mut is_told = false;
    while let Err(reason) = client.ready().await {
        if !is_told {
            info!(url = client.base(), reason, "waiting for /ready to answer 200");
            is_told = true;
        }
        ledger.set_away(Some(reason));
        backoff.wait().await;
    }
    ledger.set_away(None);
}

/// How long all of it may take.
struct Limit {
    deadline: Instant,
    stop: CancellationToken,
}

/// Why work was broken off.
enum Cut {
    Deadline,
    Stopped,
}

impl Limit {
    async fn apply<T>(&self, work: impl Future<Output = T>) -> Result<T, Cut> {
        tokio::select! {
            done = work => Ok(done),
            () = time::sleep_until(self.deadline) => Err(Cut::Deadline),
            () = self.stop.cancelled() => Err(Cut::Stopped),
        }
    }
}
