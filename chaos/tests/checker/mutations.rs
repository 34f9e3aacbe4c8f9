//! Random legal runs with one thing dropped, doubled or altered are rejected.

use std::collections::HashSet;

use chaos::{
    audit::{Change, Row},
    checker::{Evidence, check},
    history::{Event, Line},
};
use proptest::{prelude::*, sample::Index, strategy::ValueTree, test_runner::TestRunner};
use uuid::Uuid;

use crate::{actions::run, forged::story::batch_of};

/// One way to spoil evidence. Each hits only what some promise hangs on: a start under a lease that was given back proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    DropOutcomeRow,
    DoubleOutcomeRow,
    AlterOutcomeAttempt,
    AlterOutcomeWorker,
    AlterOutcomeTransaction,
    DropLeaseEnd,
    DoubleLeaseEnd,
    AlterLeaseEnd,
    DropLeased,
    DoubleLeased,
    AlterLeasedAttempt,
    AlterLeasedWorker,
    TouchOutcome,
    DropTask,
    DoubleTask,
    OpenTask,
    MoveTask,
    RenameTask,
    DropStart,
    DoubleStart,
    AlterStartLease,
    DropEnd,
    DoubleEnd,
    AlterRead,
    DropSubmit,
    DropKey,
    AlterKey,
}

use Mutation::*;

const ALL: &[Mutation] = &[
    DropOutcomeRow,
    DoubleOutcomeRow,
    AlterOutcomeAttempt,
    AlterOutcomeWorker,
    AlterOutcomeTransaction,
    DropLeaseEnd,
    DoubleLeaseEnd,
    AlterLeaseEnd,
    DropLeased,
    DoubleLeased,
    AlterLeasedAttempt,
    AlterLeasedWorker,
    TouchOutcome,
    DropTask,
    DoubleTask,
    OpenTask,
    MoveTask,
    RenameTask,
    DropStart,
    DoubleStart,
    AlterStartLease,
    DropEnd,
    DoubleEnd,
    AlterRead,
    DropSubmit,
    DropKey,
    AlterKey,
];

/// What promises hang on.
struct Relevant {
    /// Transactions that ended tasks by a worker, with the batches of these.
    endings: HashSet<(i64, Uuid)>,
    /// Leases out of which tasks were ended.
    leases: HashSet<(i64, i64)>,
    /// Executions that are results.
    executions: HashSet<Uuid>,
    acknowledged: HashSet<Uuid>,
}

impl Relevant {
    fn of(evidence: &Evidence) -> Self {
        let endings: HashSet<_> = evidence.audit.iter().filter_map(ending).collect();
        let leases = evidence.audit.iter().filter_map(|row| match row.change {
            Change::LeaseShrunk { lease, worker, batch, .. } | Change::LeaseGone { lease, worker, batch } => {
                endings.contains(&(row.transaction, batch)).then_some((lease, worker))
            }
            _ => None,
        });
        let acknowledged = evidence.lines.iter().filter_map(|line| match &line.event {
            Event::Acknowledged { ids, .. } => Some(ids),
            _ => None,
        });
        Self {
            leases: leases.collect(),
            executions: evidence.tasks.iter().filter_map(|task| task.outcome?.execution).collect(),
            acknowledged: acknowledged.flatten().copied().collect(),
            endings,
        }
    }

    fn is_lease_end(&self, row: &Row) -> bool {
        match row.change {
            Change::LeaseShrunk { batch, .. } | Change::LeaseGone { batch, .. } => {
                self.endings.contains(&(row.transaction, batch))
            }
            _ => false,
        }
    }

    fn is_leased(&self, row: &Row) -> bool {
        matches!(row.change, Change::Leased { lease, worker, .. } if self.leases.contains(&(lease, worker)))
    }

    fn is_start(&self, line: &Line) -> bool {
        matches!(line.event, Event::Start { execution, .. } if self.executions.contains(&execution))
    }

    fn is_end(&self, line: &Line) -> bool {
        matches!(line.event, Event::End { execution, .. } if self.executions.contains(&execution))
    }
}

fn ending(row: &Row) -> Option<(i64, Uuid)> {
    match row.change {
        Change::Outcome { task, worker: Some(_), .. } => Some((row.transaction, batch_of(task))),
        _ => None,
    }
}

/// Whether there was anything to spoil.
fn spoil(evidence: &mut Evidence, mutation: Mutation, at: Index) -> bool {
    let relevant = Relevant::of(evidence);
    let is_outcome = |row: &Row| ending(row).is_some();
    let is_lease_end = |row: &Row| relevant.is_lease_end(row);
    let is_leased = |row: &Row| relevant.is_leased(row);
    let is_start = |line: &Line| relevant.is_start(line);
    let is_end = |line: &Line| relevant.is_end(line);
    let Evidence { lines, audit, tasks, keys } = evidence;
    match mutation {
        DropOutcomeRow => drop_one(audit, at, is_outcome),
        DoubleOutcomeRow => double(audit, at, is_outcome),
        AlterOutcomeAttempt => alter(audit, at, is_outcome, |row| {
            if let Change::Outcome { attempt, .. } = &mut row.change {
                *attempt += 1;
            }
        }),
        AlterOutcomeWorker => alter(audit, at, is_outcome, |row| {
            if let Change::Outcome { worker, .. } = &mut row.change {
                *worker = worker.map(|worker| worker + 1);
            }
        }),
        AlterOutcomeTransaction => alter(audit, at, is_outcome, |row| row.transaction += 1_000_000),
        DropLeaseEnd => drop_one(audit, at, is_lease_end),
        DoubleLeaseEnd => double(audit, at, |row| is_lease_end(row) && matches!(row.change, Change::LeaseGone { .. })),
        AlterLeaseEnd => alter(audit, at, is_lease_end, |row| match &mut row.change {
            Change::LeaseShrunk { lease, .. } | Change::LeaseGone { lease, .. } => *lease += 1_000_000,
            _ => {}
        }),
        DropLeased => drop_one(audit, at, is_leased),
        DoubleLeased => double(audit, at, is_leased),
        AlterLeasedAttempt => alter(audit, at, is_leased, |row| {
            if let Change::Leased { attempt, .. } = &mut row.change {
                *attempt += 1;
            }
        }),
        AlterLeasedWorker => alter(audit, at, is_leased, |row| {
            if let Change::Leased { worker, .. } = &mut row.change {
                *worker += 1_000_000;
            }
        }),
        TouchOutcome => alter(audit, at, is_outcome, |row| {
            if let Change::Outcome { task, .. } = row.change {
                row.change = Change::OutcomeTouched { task };
            }
        }),
        DropTask => drop_one(tasks, at, |task| relevant.acknowledged.contains(&task.id)),
        DoubleTask => {
            double(tasks, at, |_| true);
            let task = tasks.last_mut().expect("one is there");
            (task.id, task.outcome, task.places) = (Uuid::from_u128(9), None, 1);
            true
        }
        OpenTask => alter(tasks, at, |_| true, |task| (task.outcome, task.places) = (None, 1)),
        MoveTask => alter(tasks, at, |_| true, |task| task.places += 1),
        RenameTask => alter(tasks, at, |_| true, |task| task.name = task.name.map(|name| name ^ 1 << 40)),
        DropStart => drop_one(lines, at, is_start),
        DoubleStart => double(lines, at, is_start),
        AlterStartLease => alter(lines, at, is_start, |line| {
            if let Event::Start { lease, .. } = &mut line.event {
                *lease += 1_000_000;
            }
        }),
        DropEnd => drop_one(lines, at, is_end),
        DoubleEnd => double(lines, at, is_end),
        AlterRead => alter(
            lines,
            at,
            |line| matches!(line.event, Event::Read { .. }),
            |line| {
                if let Event::Read { attempt, .. } = &mut line.event {
                    *attempt += 1;
                }
            },
        ),
        DropSubmit => {
            let stored: HashSet<_> = tasks.iter().filter_map(|task| Some(task.name? >> 16)).collect();
            drop_one(lines, at, |line| matches!(&line.event, Event::Submit(submit) if stored.contains(&submit.request)))
        }
        DropKey => drop_one(keys, at, |key| relevant.acknowledged.contains(&key.tasks[0])),
        AlterKey => alter(keys, at, |_| true, |key| key.tasks[0] = Uuid::from_u128(9)),
    }
}

fn pick<T>(items: &[T], at: Index, is_relevant: impl Fn(&T) -> bool) -> Option<usize> {
    let relevant: Vec<usize> = (0..items.len()).filter(|item| is_relevant(&items[*item])).collect();
    (!relevant.is_empty()).then(|| *at.get(&relevant))
}

fn drop_one<T>(items: &mut Vec<T>, at: Index, is_relevant: impl Fn(&T) -> bool) -> bool {
    pick(items, at, is_relevant).map(|at| items.remove(at)).is_some()
}

fn double<T: Clone>(items: &mut Vec<T>, at: Index, is_relevant: impl Fn(&T) -> bool) -> bool {
    pick(items, at, is_relevant).map(|at| items.push(items[at].clone())).is_some()
}

fn alter<T>(items: &mut [T], at: Index, is_relevant: impl Fn(&T) -> bool, change: impl FnOnce(&mut T)) -> bool {
    pick(items, at, is_relevant).map(|at| change(&mut items[at])).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_spoilt_is_rejected(evidence in run(), at: Index) {
        for mutation in ALL {
            let mut spoilt = evidence.clone();
            if spoil(&mut spoilt, *mutation, at) {
                let verdict = check(spoilt);
                prop_assert!(!verdict.holds(), "{mutation:?} was accepted\n{verdict}");
            }
        }
    }
}

#[test]
fn every_mutation_finds_something_to_spoil() {
    let spoils = |mutation| {
        let mut runner = TestRunner::deterministic();
        (0..20).any(|_| {
            let mut evidence = run().new_tree(&mut runner).expect("a run").current();
            spoil(&mut evidence, mutation, index(&mut runner))
        })
    };
    let idle: Vec<_> = ALL.iter().filter(|mutation| !spoils(**mutation)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

fn index(runner: &mut TestRunner) -> Index {
    any::<Index>().new_tree(runner).expect("an index").current()
}
