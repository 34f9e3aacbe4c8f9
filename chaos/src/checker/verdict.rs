//! What came of it: violations, by rule, and how much was looked at.

use std::{collections::BTreeMap, fmt};

use uuid::Uuid;

/// Violations kept per rule; all are counted.
pub const SHOWN: usize = 100;

/// What is proved. Each is a file of [`rules`](super::rules), with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The evidence agrees with itself.
    Evidence,
    /// An answer names the request's tasks, in order.
    Answers,
    /// Every acknowledged task has exactly one outcome; nothing is in two places or in none.
    Outcomes,
    /// What was not acknowledged is there once at most, what was refused not at all.
    Unacknowledged,
    /// An idempotency key stands for one set of tasks.
    Keys,
    /// No two leases of a task overlap.
    Leases,
    /// An outcome is written by the live lease, and by nothing else.
    Fence,
    /// A result is that of an execution under that lease, and never changes.
    Results,
    /// What was cancelled is never done.
    Cancelled,
    /// Nothing starts before its time.
    Schedule,
    /// Nothing of a paused queue is claimed.
    Pauses,
    /// Attempts rise as they should, up to the limit.
    Attempts,
    /// A handler is started once per lease, for a task of it.
    Starts,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Evidence,
        Self::Answers,
        Self::Outcomes,
        Self::Unacknowledged,
        Self::Keys,
        Self::Leases,
        Self::Fence,
        Self::Results,
        Self::Cancelled,
        Self::Schedule,
        Self::Pauses,
        Self::Attempts,
        Self::Starts,
    ];
}

/// Of what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A task.
    Task(Uuid),
    /// A client's request.
    Request(u64),
    /// An idempotency key.
    Key(String),
    /// A lease.
    Lease(i64),
    /// A queue.
    Queue(String),
    /// A run of a handler.
    Execution(Uuid),
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule it breaks.
    pub rule: Rule,
    /// Of what.
    pub subject: Subject,
    /// What is wrong, with the evidence.
    pub what: String,
}

/// How much was looked at: a verdict on nothing is worth nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Requests answered with ids.
    pub acknowledged: u64,
    /// Requests refused.
    pub refused: u64,
    /// Tasks at the end.
    pub tasks: u64,
    /// Of them, done.
    pub done: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Of them, cancelled.
    pub cancelled: u64,
    /// Leases that began.
    pub leases: u64,
    /// Handlers started.
    pub starts: u64,
    /// Final states read.
    pub reads: u64,
    /// Workers found dead.
    pub dead: u64,
    /// Crashes of Postgres.
    pub crashes: u64,
    /// Starts under a claim that a crash of Postgres has undone.
    pub lost_claims: u64,
    /// Outcomes that a worker wrote after it was marked as dead and before its lease was given back.
    pub marked: u64,
    /// Pauses of queues.
    pub pauses: u64,
    /// Last lines cut short by a kill.
    pub torn: u64,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// At most [`SHOWN`] per rule, by rule.
    pub violations: Vec<Violation>,
    /// All of them, counted by rule.
    pub totals: BTreeMap<Rule, u64>,
    /// What was looked at.
    pub counts: Counts,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.totals.is_empty()
    }
}

/// Where rules write.
#[derive(Debug, Default)]
pub(super) struct Report {
    shown: BTreeMap<Rule, Vec<Violation>>,
    totals: BTreeMap<Rule, u64>,
    pub(super) counts: Counts,
}

impl Report {
    /// The sentence is made only if it is shown.
    pub(super) fn violation(&mut self, rule: Rule, subject: Subject, what: impl FnOnce() -> String) {
        *self.totals.entry(rule).or_default() += 1;
        let shown = self.shown.entry(rule).or_default();
        if shown.len() < SHOWN {
            shown.push(Violation { rule, subject, what: what() });
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        Verdict { violations: self.shown.into_values().flatten().collect(), totals: self.totals, counts: self.counts }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(id) => write!(f, "task {id}"),
            Self::Request(number) => write!(f, "request {number}"),
            Self::Key(key) => write!(f, "key {key:?}"),
            Self::Lease(id) => write!(f, "lease {id}"),
            Self::Queue(name) => write!(f, "queue {name:?}"),
            Self::Execution(id) => write!(f, "execution {id}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, acknowledged, refused, tasks, done, failed, cancelled, leases, starts, reads, .. } = self;
        let Self { dead, crashes, lost_claims, marked, pauses, torn, .. } = self;
        writeln!(f, "{requests} requests: {acknowledged} acknowledged, {refused} refused")?;
        writeln!(f, "{tasks} tasks: {done} done, {failed} failed, {cancelled} cancelled; {reads} reads")?;
        writeln!(
            f,
            "{leases} leases, {starts} starts, {dead} workers found dead, {pauses} pauses, {crashes} crashes of Postgres"
        )?;
        write!(
            f,
            "{lost_claims} starts under lost claims, {marked} outcomes between mark and rescue, {torn} torn lines"
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.counts)?;
        for (rule, total) in &self.totals {
            let shown = self.violations.iter().filter(|violation| violation.rule == *rule);
            writeln!(f, "{rule:?}: {total} violations, {} shown", shown.clone().count())?;
            for violation in shown {
                writeln!(f, "  {violation}")?;
            }
        }
        match self.totals.values().sum::<u64>() {
            0 => write!(f, "no violation"),
            total => write!(f, "{total} violations"),
        }
    }
}
