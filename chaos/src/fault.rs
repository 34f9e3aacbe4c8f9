//! What is done to the system.

use std::{fmt, time::Duration};

/// Whom a broken network surrounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One api.
    Api(usize),
    /// One worker.
    Worker(usize),
    /// The pooler.
    Pooler,
    /// All of them.
    All,
}

/// How Postgres ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Clients are disconnected, a checkpoint is made.
    Fast,
    /// Without a checkpoint; the next start recovers from the log.
    Immediate,
    /// SIGKILL of the postmaster.
    Killed,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; started again when it is over.
    KillWorker(usize),
    /// SIGTERM, waits for the end, started again.
    TermWorker(usize),
    /// SIGSTOP, for longer than the lease TTL, then SIGCONT.
    FreezeWorker(usize),
    /// SIGKILL, and started again under a clock that is off by so many minutes.
    SkewWorker(usize, i32),
    /// SIGKILL; started again when it is over.
    KillApi(usize),
    /// SIGTERM, waits for the end, started again.
    TermApi(usize),
    /// SIGSTOP, then SIGCONT.
    FreezeApi(usize),
    /// `pg_terminate_backend` of one of their backends, several times.
    TerminateSome,
    /// The same of all at once.
    TerminateAll,
    /// Postgres ends; started again when it is over.
    RestartPostgres(End),
    /// Connections to Postgres are closed, and new ones too.
    Cut(Whom),
    /// They swallow everything, and stay so for good; new ones answer again when it is over.
    Swallow(Whom),
    /// Every chunk takes so long.
    Delay(Whom, Duration),
    /// So many bytes a second.
    Throttle(Whom, u32),
    /// Others hold all connections that Postgres has, and theirs are terminated.
    ExhaustConnections,
    /// Every transaction is read-only, as after a failover.
    ReadOnly,
    /// Postgres cannot make files larger, nor write most of its log: it crashes, or fails statement by statement.
    DiskFull,
    /// The pooler is killed; started again when it is over.
    KillPooler,
    /// Redis forgets everything.
    FlushRedis,
    /// Redis is killed; started again, empty, when it is over.
    RestartRedis,
    /// Connections to Redis are closed, and new ones too.
    CutRedis,
    /// They swallow everything.
    SwallowRedis,
}

/// What a fault takes: two that take the same never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// This api.
    Api(usize),
    /// This worker.
    Worker(usize),
    /// Postgres or the way to it.
    Postgres,
    /// Redis or the way to it.
    Redis,
}

impl Fault {
    /// What it takes.
    pub fn takes(self) -> Takes {
        match self {
            Self::KillWorker(n) | Self::TermWorker(n) | Self::FreezeWorker(n) | Self::SkewWorker(n, _) => {
                Takes::Worker(n)
            }
            Self::KillApi(n) | Self::TermApi(n) | Self::FreezeApi(n) => Takes::Api(n),
            Self::FlushRedis | Self::RestartRedis | Self::CutRedis | Self::SwallowRedis => Takes::Redis,
            Self::TerminateSome
            | Self::TerminateAll
            | Self::RestartPostgres(_)
            | Self::Cut(_)
            | Self::Swallow(_)
            | Self::Delay(..)
            | Self::Throttle(..)
            | Self::ExhaustConnections
            | Self::ReadOnly
            | Self::DiskFull
            | Self::KillPooler => Takes::Postgres,
        }
    }

    /// Which one it is, whomever it meets: by this word faults are counted.
    pub fn kind(self) -> &'static str {
        match self {
            Self::KillWorker(_) => "worker SIGKILL",
            Self::TermWorker(_) => "worker SIGTERM",
            Self::FreezeWorker(_) => "worker SIGSTOP beyond its lease",
            Self::SkewWorker(..) => "worker with a wrong clock",
            Self::KillApi(_) => "api SIGKILL",
            Self::TermApi(_) => "api SIGTERM",
            Self::FreezeApi(_) => "api SIGSTOP",
            Self::TerminateSome => "some backends terminated",
            Self::TerminateAll => "all backends terminated",
            Self::RestartPostgres(End::Fast) => "Postgres fast restart",
            Self::RestartPostgres(End::Immediate) => "Postgres immediate restart",
            Self::RestartPostgres(End::Killed) => "Postgres SIGKILL",
            Self::Cut(_) => "network cut",
            Self::Swallow(_) => "network half-open",
            Self::Delay(..) => "network slow",
            Self::Throttle(..) => "network throttled",
            Self::ExhaustConnections => "connections exhausted",
            Self::ReadOnly => "database read-only",
            Self::DiskFull => "disk full",
            Self::KillPooler => "PgBouncer SIGKILL",
            Self::FlushRedis => "Redis FLUSHALL",
            Self::RestartRedis => "Redis SIGKILL",
            Self::CutRedis => "Redis network cut",
            Self::SwallowRedis => "Redis network half-open",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::SkewWorker(n, minutes) => write!(f, " (worker {n}, {minutes:+} min)"),
            Self::KillWorker(n) | Self::TermWorker(n) | Self::FreezeWorker(n) => write!(f, " (worker {n})"),
            Self::KillApi(n) | Self::TermApi(n) | Self::FreezeApi(n) => write!(f, " (api {n})"),
            Self::Cut(whom) | Self::Swallow(whom) => write!(f, " ({whom:?})"),
            Self::Delay(whom, pause) => write!(f, " ({whom:?}, {pause:?} a chunk)"),
            Self::Throttle(whom, rate) => write!(f, " ({whom:?}, {rate} bytes/s)"),
            _ => Ok(()),
        }
    }
}
