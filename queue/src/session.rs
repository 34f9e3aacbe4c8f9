//! Session settings of the connections that run hot statements.

use std::time::Duration;

use service::database::Session;

/// Plans that do not depend on statistics: the hot tables are empty at one moment and full at the next, and a plan made
/// for the empty ones scans them whole. Every hot statement has an index for each table it touches; a plan is made once.
const PLANS: &[&str] = &[
    "plan_cache_mode=force_generic_plan",
    "enable_seqscan=off",
    "enable_bitmapscan=off",
    "enable_mergejoin=off",
    "jit=off",
];

/// As [`PLANS`], for statements whose loss in a crash of Postgres costs a redelivery and nothing else.
const PLANS_ASYNC: &[&str] = &[
    "plan_cache_mode=force_generic_plan",
    "enable_seqscan=off",
    "enable_bitmapscan=off",
    "enable_mergejoin=off",
    "jit=off",
    "synchronous_commit=off",
];

/// As [`PLANS`], for one transaction on a connection that is used for other things too.
pub(crate) const PLANS_HERE: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

const TIMEOUT: Duration = Duration::from_secs(15);

/// Submit and finish: what was acknowledged has reached the disk.
pub const DURABLE: Session = Session { purpose: "durable", settings: PLANS, statement_timeout: TIMEOUT, direct: true };

/// Claims, heartbeats, wakeups, progress: commits asynchronously.
pub const VOLATILE: Session =
    Session { purpose: "volatile", settings: PLANS_ASYNC, statement_timeout: TIMEOUT, direct: true };

/// Reading tasks by their ids, many at once.
pub const LOOKUP: Session = Session { purpose: "lookup", settings: PLANS, statement_timeout: TIMEOUT, direct: true };

/// Cleaning up: may take its time.
pub const CLEANUP: Session =
    Session { purpose: "cleanup", settings: &[], statement_timeout: Duration::from_secs(600), direct: true };

/// Looking around: plans by statistics, as anybody's.
pub const READ: Session = Session { purpose: "read", settings: &["jit=off"], statement_timeout: TIMEOUT, direct: true };
