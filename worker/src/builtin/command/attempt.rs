//! One run of a program.

use std::{future::pending, io, pin::pin, process::Stdio, sync::Arc, time::Duration};

use futures_util::future::{FusedFuture, FutureExt};
use queue::Json;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin},
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    capture::{Head, Tail},
    config::Program,
    environment,
    group::Group,
    launcher,
    verdict::{verdict, with_complaint},
};
use crate::handler::{Context, TaskError};

/// How long outputs may stay open after the end of the group. Only a process that left the group can hold them.
const OUTPUTS_LIMIT: Duration = Duration::from_secs(1);

/// How it ended.
enum Ended {
    ByItself(std::process::ExitStatus),
    /// Told to, by the task's stop or because of too much output.
    Stopped,
    TimedOut,
}

/// Runs the program to its end. All of its process group is gone when this returns, and killed when this is dropped.
pub(super) async fn run(program: Arc<Program>, task: Context) -> Result<Json, TaskError> {
    let mut child = start(&program, &task)
        .map_err(|error| TaskError::retry(format!("{} cannot be started: {error}", program.path.display())))?;
    let group = Group::of(&child);
    let mut stdout = Head::new(program.output_limit);
    let mut stderr = Tail::new(program.stderr_limit);
    let full = CancellationToken::new();
    let ended = {
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pipes = async {
            let output = async {
                if !stdout.fill(output.expect("piped")).await {
                    full.cancel();
                }
            };
            tokio::join!(feed(input.expect("piped"), task.payload()), output, stderr.fill(errors.expect("piped")));
        };
        let mut pipes = pin!(pipes.fuse());
        let ended = tokio::select! {
            ended = end(&program, &mut child, &group, task.stop(), &full) => ended?,
            // Ends first, if the program closes its outputs; then only the program is waited for.
            never = async { pipes.as_mut().await; pending().await } => never,
        };
        group.finish().await;
        if !pipes.is_terminated() {
            // What is in the pipes already is read.
            let _ = time::timeout(OUTPUTS_LIMIT, pipes).await;
        }
        ended
    };
    let complaint = stderr.text();
    if full.is_cancelled() {
        let reason = format!("the output is larger than {} bytes", program.output_limit);
        return Err(TaskError::fatal(with_complaint(&reason, &complaint)));
    }
    match ended {
        Ended::ByItself(status) => verdict(status, program.output, stdout.bytes(), &complaint, &program.codes),
        Ended::TimedOut => {
            let limit = program.timeout.unwrap_or_default();
            Err(TaskError::retry(with_complaint(&format!("timed out after {limit:?}"), &complaint)))
        }
        Ended::Stopped => Err(TaskError::retry(with_complaint("told to stop", &complaint))),
    }
}

/// Starts it as the leader of a process group of its own, with nothing in its environment but what it is given.
fn start(program: &Program, task: &Context) -> io::Result<Child> {
    let mut command = launcher::command(program);
    command.env_clear().envs(program.environment.iter().cloned()).envs(environment::of_task(task));
    if let Some(directory) = &program.directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true).spawn()
}

/// Writes the payload. A program need not read it.
async fn feed(mut input: ChildStdin, payload: &Json) {
    let _ = input.write_all(payload.get().as_bytes()).await;
}

/// Waits for the program's end, and brings it about if it must: SIGTERM to the group, and after the grace SIGKILL.
async fn end(
    program: &Program,
    child: &mut Child,
    group: &Group,
    stop: &CancellationToken,
    full: &CancellationToken,
) -> io::Result<Ended> {
    let ended = tokio::select! {
        status = child.wait() => return status.map(Ended::ByItself),
        () = stop.cancelled() => Ended::Stopped,
        () = full.cancelled() => Ended::Stopped,
        () = time::sleep(program.timeout.unwrap_or(Duration::MAX)) => Ended::TimedOut,
    };
    group.terminate();
    if time::timeout(program.grace, child.wait()).await.is_err() {
        child.start_kill()?;
        child.wait().await?;
    }
    Ok(ended)
}
