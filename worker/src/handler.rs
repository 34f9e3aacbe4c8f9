//! What a handler is, what it is given and how it answers.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use queue::{
    Json, TaskId,
    claim::Claimed,
    task::{Lane, Name},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::progress::Reports;

/// What a running handler resolves to.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Json, TaskError>> + Send>>;

/// Runs the tasks of one kind. Implemented by every `async fn(Context) -> Result<impl Serialize, TaskError>`.
pub trait Handler: Send + Sync + 'static {
    /// Starts one attempt. Dropping the future stops it.
    fn call(&self, task: Context) -> HandlerFuture;
}

impl<F, Fut, R> Handler for F
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, TaskError>> + Send + 'static,
    R: Serialize,
{
    fn call(&self, task: Context) -> HandlerFuture {
        let attempt = self(task);
        Box::pin(async move {
            let result = attempt.await?;
            Json::from_value(&result).map_err(|error| TaskError::fatal(format!("the result cannot be stored: {error}")))
        })
    }
}

/// The handlers of a worker, by kind.
pub(crate) type Handlers = BTreeMap<Name, Arc<dyn Handler>>;

/// One attempt at a task, as its handler sees it.
#[derive(Clone, Debug)]
pub struct Context {
    id: TaskId,
    lease: i64,
    lane: Lane,
    attempt: i16,
    max_attempts: i16,
    payload: Json,
    stop: CancellationToken,
    reports: Reports,
}

impl Context {
    pub(crate) fn new(task: &Claimed, stop: CancellationToken, reports: Reports) -> Self {
        Self {
            id: task.id,
            lease: task.lease.0,
            lane: task.lane.clone(),
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            payload: task.payload.clone(),
            stop,
            reports,
        }
    }

    /// The task's id: the same at every attempt, so the key for making side effects idempotent.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The queue it came from.
    pub fn queue(&self) -> &str {
        self.lane.queue.as_str()
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.lane.kind.as_str()
    }

    /// The lease it runs under, as `taskrow.leases.id` has it: for logs and audits. Only while it stands can this attempt end the task.
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// This attempt's number, from 1.
    pub fn attempt(&self) -> i16 {
        self.attempt
    }

    /// The most attempts it may have.
    pub fn max_attempts(&self) -> i16 {
        self.max_attempts
    }

    /// The payload as it was sent.
    pub fn payload(&self) -> &Json {
        &self.payload
    }

    /// The payload as a type. What does not fit never will: the task fails for good.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        serde_json::from_str(self.payload.get()).map_err(|error| TaskError::fatal(format!("payload: {error}")))
    }

    /// Cancelled when the task was cancelled, or has run out of time, or the worker must stop. Handlers that hold
    /// something should watch it; whoever ignores it is dropped at its next await.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Reports how far the attempt is, for whoever reads the task; the newest report wins. Never waits. A value that
    /// cannot be stored as JSON is left out.
    pub fn progress(&self, value: &impl Serialize) {
        if let Ok(value) = Json::from_value(value) {
            self.reports.put(self.id, self.attempt, value);
        }
    }
}

/// Why an attempt did not end with a result.
///
/// Every `std::error::Error` turns into a retryable one by `?`.
#[derive(Debug)]
pub enum TaskError {
    /// The attempt failed; try again if attempts are left, after this wait or the schedule's.
    Retry {
        /// Kept with the task.
        message: String,
        /// Overrides the schedule's wait.
        after: Option<Duration>,
    },
    /// The task cannot succeed: it fails now, whatever attempts are left.
    Fatal {
        /// Kept with the task.
        message: String,
    },
    /// Nothing failed; call again after this wait. Burns no attempt.
    Again {
        /// The wait.
        after: Duration,
    },
}

impl TaskError {
    /// A failure that another attempt may overcome.
    pub fn retry(message: impl Display) -> Self {
        Self::Retry { message: message.to_string(), after: None }
    }

    /// A failure that another attempt, not before so long, may overcome.
    pub fn retry_after(message: impl Display, after: Duration) -> Self {
        Self::Retry { message: message.to_string(), after: Some(after) }
    }

    /// A failure that no attempt overcomes.
    pub fn fatal(message: impl Display) -> Self {
        Self::Fatal { message: message.to_string() }
    }

    /// Not now: call again after so long.
    pub fn again(after: Duration) -> Self {
        Self::Again { after }
    }
}

// `TaskError` itself is no `Error`: that would clash with this.
impl<E: std::error::Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

impl fmt::Debug for dyn Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}
