//! A worker under test: the library's `Worker` with one more handler, which writes its history.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use dispatch::DispatchArgs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::{database::DatabaseArgs, exit::Failure, shutdown, tasks::Tasks, telemetry, telemetry::TelemetryArgs};
use tokio::time;
use uuid::Uuid;
use worker::{Context, Process, TaskError, WorkerArgs};

use crate::{
    history::{Ending, Event},
    writer::Writer,
};

/// The kind that the handler takes.
pub const KIND: &str = "probe";

/// What a task of that kind does, as its payload.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Work {
    /// See [`Submit::tasks`](crate::history::Submit::tasks).
    pub name: u64,
    /// How long an attempt takes.
    pub ms: u64,
    /// How it ends.
    pub plan: Plan,
}

/// How attempts end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// With a result.
    Succeed,
    /// The first one fails, others succeed.
    FailFirst,
    /// With an error for good.
    Fail,
    /// The first one panics, others succeed.
    PanicFirst,
    /// Half of them ask to be called again.
    MaybeLater,
    /// Waits until told to stop, then returns a result all the same: nobody wants it any more.
    Linger,
}

/// Flags and environment of `chaos worker`.
#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// Directory of the history.
    #[arg(long, value_name = "DIR")]
    history: PathBuf,
    #[command(flatten)]
    worker: WorkerArgs,
    #[command(flatten)]
    dispatch: DispatchArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// Runs the worker until it is told to stop.
pub async fn run(args: ProbeArgs) -> Result<(), Failure> {
    telemetry::init(&args.telemetry)?;
    let config = args.worker.config()?;
    let name = format!("{}-{}", config.name, std::process::id());
    let history = Arc::new(Writer::create(&args.history, &name).map_err(Failure::software)?);
    let handler = move |task: Context| attempt(history.clone(), task);
    let builder = args.worker.builder()?.handler(KIND, handler).dispatch(args.dispatch.dispatch()?);
    let process = Process::bind(builder.build(config, args.database.database("worker")?), args.worker.bind).await?;
    process.run(shutdown::on_signal(&Tasks::new())?).await
}

async fn attempt(history: Arc<Writer>, task: Context) -> Result<Value, TaskError> {
    let work: Work = task.parse()?;
    let execution = Uuid::now_v7();
    history.write(Event::Start {
        execution,
        task: task.id().uuid(),
        attempt: task.attempt(),
        lease: task.lease(),
        name: work.name,
    });
    time::sleep(Duration::from_millis(work.ms)).await;
    let is_first = task.attempt() == 1;
    let ending = match work.plan {
        Plan::FailFirst if is_first => Ending::Retry,
        Plan::Fail => Ending::Fatal,
        #[expect(clippy::panic, reason = "what is tested")]
        Plan::PanicFirst if is_first => panic!("planned"),
        Plan::MaybeLater if fastrand::bool() => Ending::Again,
        Plan::Linger => {
            task.stop().cancelled().await;
            Ending::Done
        }
        Plan::Succeed | Plan::FailFirst | Plan::PanicFirst | Plan::MaybeLater => Ending::Done,
    };
    history.write(Event::End { execution, ending });
    match ending {
        Ending::Done => Ok(json!({"execution": execution, "name": work.name})),
        Ending::Retry => Err(TaskError::retry_after("planned", Duration::from_millis(100))),
        Ending::Fatal => Err(TaskError::fatal("planned")),
        Ending::Again => Err(TaskError::again(Duration::from_millis(100))),
    }
}
