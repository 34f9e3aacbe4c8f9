//! What was seen, line by line: by clients, by handlers, by the harness. The words that they and the checker share.
//!
//! A history is a set of files with one JSON object a line; each process writes its own, a line by one `write`, so that SIGKILL loses no line that
//! was written and tears none. Order between processes is by the clock that all of the machine share.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A point of the machine's monotonic clock, in microseconds. The same for every process, and not moved by whoever sets the time.
pub type Micros = u64;

/// Now.
pub fn now() -> Micros {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Line {
    /// When.
    pub at: Micros,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A client is about to submit. Once per request: trying the same request again, with its key, adds no line.
    Submit(Submit),
    /// The answer said that the tasks are stored. Once per request, with the first answer that said so; a later answer with other ids is a line more.
    Acknowledged {
        /// Which request.
        request: u64,
        /// In the order of `Submit::tasks`.
        ids: Vec<Uuid>,
    },
    /// The answer to the only try, or to every try, said that nothing was stored.
    Refused {
        /// Which request.
        request: u64,
    },
    /// The client gave up and does not know what became of the request.
    Unknown {
        /// Which request.
        request: u64,
    },
    /// The answer to a cancel said that the task is cancelled: it will never be done.
    Cancelled {
        /// Which task.
        task: Uuid,
    },
    /// A client read a task in a final state.
    Read {
        /// Which task.
        task: Uuid,
        /// `done`, `failed` or `cancelled`.
        status: Status,
        /// Attempts burnt.
        attempt: i16,
        /// The execution that the result names; none: it names none (see [`Outcome`](crate::audit)).
        execution: Option<Uuid>,
    },
    /// A pause of a queue was acknowledged.
    Paused {
        /// Which queue.
        queue: String,
        /// The database's clock, asked after the acknowledgement, in microseconds since 1970.
        database_at: i64,
    },
    /// A client is about to resume a queue.
    Resume {
        /// Which queue.
        queue: String,
        /// The database's clock, asked before the request.
        database_at: i64,
    },
    /// A handler starts an attempt.
    Start {
        /// Names this run of the handler; in the result of the task if this run ends it.
        execution: Uuid,
        /// Which task.
        task: Uuid,
        /// Its number.
        attempt: i16,
        /// The lease it runs under.
        lease: i64,
        /// From the payload: which task of which request. (`Submit::request << 16 | index`.)
        name: u64,
    },
    /// A handler is about to return. A run without this line was killed, dropped, or panicked.
    End {
        /// See `Start`.
        execution: Uuid,
        /// What it returns.
        ending: Ending,
    },
    /// The harness does something bad.
    Fault {
        /// Its number in the schedule.
        number: u32,
        /// What, for people.
        what: String,
    },
    /// It has undone it: what was killed runs again, what was cut is whole.
    Over {
        /// See `Fault`.
        number: u32,
    },
    /// Postgres is about to be killed or stopped at once, or was found crashed. Commits that nobody waits for are lost, claims among them, and
    /// the numbers of their leases come again. (A fast stop and a broken connection lose nothing.)
    Crash,
}

/// A request that submits.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Submit {
    /// Unique in the run.
    pub request: u64,
    /// Its `Idempotency-Key`; none: it is sent once and never again.
    pub key: Option<String>,
    /// Where the tasks go.
    pub queue: String,
    /// What runs them.
    pub kind: String,
    /// Not before this long after they are stored.
    pub delay_ms: u64,
    /// Attempts at most.
    pub max_attempts: i16,
    /// How many tasks. The payload of each holds `"name": request << 16 | index`.
    pub tasks: u16,
}

/// A final state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// With a result.
    Done,
    /// With an error.
    Failed,
    /// Told to.
    Cancelled,
}

/// How a handler returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With a result.
    Done,
    /// With an error that another attempt may overcome.
    Retry,
    /// With an error for good.
    Fatal,
    /// Without having done anything: called again later, no attempt burnt.
    Again,
}
