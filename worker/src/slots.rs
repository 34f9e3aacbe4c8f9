//! A slot runs one task after the other.

use std::{any::Any, panic::AssertUnwindSafe, pin::Pin, sync::Arc, task, time::Duration};

use futures_util::FutureExt;
use queue::{Json, claim::Claimed, finish::Outcome, requeue::Reason, task::DELAY_LIMIT};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::WorkerConfig,
    finisher::{Completed, Verdict},
    handler::{Context, Handlers, TaskError},
    incarnation::Shared,
    retry::RetrySchedule,
    running::Running,
};

/// Results that wait to be written may take so much memory, in bytes.
const RESULTS_LIMIT: usize = 64 * 1024 * 1024;
/// Results up to this size are not worth counting.
const SMALL_RESULT: usize = 4 * 1024;

/// What all slots of a worker share.
pub(crate) struct Slots {
    pub(crate) shared: Arc<Shared>,
    pub(crate) running: Running,
    pub(crate) completed: mpsc::Sender<Completed>,
    /// Cancelled when the drain budget is used up: handlers are told to stop, and then dropped.
    pub(crate) give_up: CancellationToken,
    /// Cancelled when this worker was found dead: handlers are dropped at once and nothing is written.
    pub(crate) fence: CancellationToken,
    /// Bytes of results on their way to the finisher.
    memory: Arc<Semaphore>,
}

/// How an attempt ended.
#[derive(Debug)]
enum Attempt {
    Returned(Result<Json, TaskError>),
    Panicked(String),
    TimedOut(Duration),
    /// Its task was cancelled and the handler did not end in time.
    Cancelled,
    /// The worker stops and the handler did not end in time.
    GivenUp,
}

impl Slots {
    pub(crate) fn new(
        shared: Arc<Shared>,
        running: Running,
        completed: mpsc::Sender<Completed>,
        give_up: CancellationToken,
        fence: CancellationToken,
    ) -> Self {
        Self { shared, running, completed, give_up, fence, memory: Arc::new(Semaphore::new(RESULTS_LIMIT)) }
    }

    /// One slot's life: until the buffer is closed and empty, or the worker is fenced.
    pub(crate) async fn run(self: Arc<Self>) {
        while let Some(task) = self.shared.buffer.take().await {
            let started = Instant::now();
            let attempt = tokio::select! {
                attempt = self.attempt(&task) => attempt,
                () = self.fence.cancelled() => {
                    self.shared.buffer.ended();
                    self.shared.reports.end(task.id);
                    return;
                }
            };
            let time = started.elapsed();
            self.shared.buffer.ended();
            self.shared.prefetch().ran(time);
            self.shared.metrics.lane(&task.lane).ran(time);
            self.shared.reports.end(task.id);
            self.complete(&task, attempt).await;
        }
    }

    async fn attempt(&self, task: &Claimed) -> Attempt {
        let stop = CancellationToken::new();
        // However the attempt ends: what the handler has spawned is told to stop.
        let _stop = stop.clone().drop_guard();
        let registered = self.running.register(task.id, stop.clone());
        let handler = &self.shared.handlers[&task.lane.kind];
        let context = Context::new(task, stop.clone(), self.shared.reports.clone());
        // A handler may panic before its first await, that is in the call itself.
        let handler = AssertUnwindSafe(async { handler.call(context).await }).catch_unwind();
        let mut handler = Contained(Some(Box::pin(handler)));
        let timeout = time::sleep(task.timeout);
        let ended = tokio::select! {
            ended = &mut handler => Some(ended),
            () = timeout => return Attempt::TimedOut(task.timeout),
            () = stop.cancelled() => None,
            () = self.give_up.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => Some(ended),
            None => {
                stop.cancel();
                time::timeout(self.shared.config.cancel_grace, handler).await.ok()
            }
        };
        match ended {
            Some(Ok(Err(_))) | None if registered.is_cancelled() => Attempt::Cancelled,
            Some(Ok(Err(_))) | None if self.give_up.is_cancelled() => Attempt::GivenUp,
            Some(Ok(result)) => Attempt::Returned(result),
            Some(Err(panic)) => Attempt::Panicked(panic_message(panic.as_ref())),
            None => Attempt::GivenUp,
        }
    }

    async fn complete(&self, task: &Claimed, attempt: Attempt) {
        let verdict = verdict(attempt, task, &self.shared.config);
        let _memory = match &verdict {
            Verdict::End(Outcome::Done(result)) if result.get().len() > SMALL_RESULT => {
                let bytes = result.get().len().min(RESULTS_LIMIT);
                self.memory.clone().acquire_many_owned(bytes as u32).await.ok()
            }
            _ => None,
        };
        let completed = Completed { lease: task.lease, id: task.id, lane: task.lane.clone(), verdict, _memory };
        // The finisher ends after the slots, except when fenced; then nothing is to be written.
        let _ = self.completed.send(completed).await;
    }
}

/// A handler's future that may panic when it is dropped, too. That would take its slot with it.
struct Contained<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Contained<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> task::Poll<F::Output> {
        self.0.as_mut().expect("taken out by drop only").as_mut().poll(context)
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        // The panic hook has told of it; what the task's attempt has come to is decided.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(self.0.take())));
    }
}

/// What follows from how an attempt ended.
fn verdict(attempt: Attempt, task: &Claimed, config: &WorkerConfig) -> Verdict {
    let limit = config.result_limit;
    match attempt {
        Attempt::Returned(Ok(result)) if result.get().len() > limit => Verdict::End(Outcome::Failed(format!(
            "the result has {} bytes, more than the {limit} allowed",
            result.get().len()
        ))),
        Attempt::Returned(Ok(result)) => Verdict::End(Outcome::Done(result)),
        Attempt::Returned(Err(TaskError::Fatal { message })) => Verdict::End(Outcome::Failed(message)),
        Attempt::Returned(Err(TaskError::Again { after })) => {
            Verdict::Return(Reason::Again { delay: after.min(DELAY_LIMIT) })
        }
        Attempt::Returned(Err(TaskError::Retry { message, after })) => failed(message, after, task, &config.retry),
        Attempt::Panicked(message) => failed(format!("the handler panicked: {message}"), None, task, &config.retry),
        Attempt::TimedOut(limit) => failed(format!("timed out after {limit:?}"), None, task, &config.retry),
        Attempt::Cancelled => Verdict::End(Outcome::Cancelled),
        Attempt::GivenUp => Verdict::Return(Reason::Release),
    }
}

fn failed(error: String, after: Option<Duration>, task: &Claimed, schedule: &RetrySchedule) -> Verdict {
    if task.attempt >= task.max_attempts {
        return Verdict::End(Outcome::Failed(error));
    }
    let delay = after.unwrap_or_else(|| schedule.delay(task.attempt)).min(DELAY_LIMIT);
    Verdict::Return(Reason::Retry { delay, error })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// The kinds of a worker as its lanes name them.
pub(crate) fn kinds(handlers: &Handlers) -> Vec<queue::task::Name> {
    handlers.keys().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::{
        TaskId,
        claim::LeaseId,
        task::{Lane, Name},
    };

    fn after(attempt: Attempt, number: i16, max_attempts: i16) -> String {
        let name = Name::new("x").unwrap();
        let task = Claimed {
            lease: LeaseId(1),
            id: TaskId::from_uuid(uuid::Uuid::nil()),
            lane: Lane { queue: name.clone(), kind: name },
            attempt: number,
            max_attempts,
            timeout: Duration::from_secs(1),
            waited: Duration::ZERO,
            payload: Json::parse(b"1").unwrap(),
        };
        let config = WorkerConfig { result_limit: 10, ..WorkerConfig::default() };
        match verdict(attempt, &task, &config) {
            Verdict::End(Outcome::Done(result)) => format!("done {}", result.get()),
            Verdict::End(Outcome::Failed(error)) => format!("failed {error}"),
            Verdict::End(Outcome::Cancelled) => "cancelled".to_owned(),
            Verdict::Return(Reason::Retry { error, .. }) => format!("retry {error}"),
            Verdict::Return(Reason::Again { delay }) => format!("again {delay:?}"),
            Verdict::Return(Reason::Release) => "release".to_owned(),
        }
    }

    #[test]
    fn an_attempts_end_decides_what_becomes_of_the_task() {
        let result = |text: &str| Attempt::Returned(Ok(Json::parse(text.as_bytes()).unwrap()));
        let error = |error| Attempt::Returned(Err(error));
        assert_eq!(after(result("true"), 1, 1), "done true");
        assert_eq!(after(result("\"too long\""), 1, 1), "done \"too long\"");
        assert_eq!(after(result("\"too long!\""), 1, 5), "failed the result has 11 bytes, more than the 10 allowed");
        assert_eq!(after(error(TaskError::retry("a")), 1, 2), "retry a");
        assert_eq!(after(error(TaskError::retry("a")), 2, 2), "failed a", "no attempt is left");
        assert_eq!(after(error(TaskError::fatal("a")), 1, 9), "failed a");
        assert_eq!(after(error(TaskError::again(Duration::from_secs(3))), 1, 1), "again 3s");
        assert_eq!(after(error(TaskError::again(Duration::MAX)), 1, 1), format!("again {DELAY_LIMIT:?}"));
        assert_eq!(after(Attempt::Panicked("oh".to_owned()), 1, 2), "retry the handler panicked: oh");
        assert_eq!(after(Attempt::TimedOut(Duration::from_secs(1)), 2, 2), "failed timed out after 1s");
        assert_eq!(after(Attempt::Cancelled, 1, 9), "cancelled");
        assert_eq!(after(Attempt::GivenUp, 9, 9), "release", "a shutdown burns no attempt");
    }
}
