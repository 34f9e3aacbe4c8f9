//! What can happen in a history.

use proptest::{collection::vec, prelude::*, sample::Index};

/// Workers in a history. One that dies is replaced.
pub(super) const WORKERS: usize = 3;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Submit {
        count: usize,
        attempts: i16,
        is_later: bool,
        is_urgent: bool,
    },
    Claim {
        worker: usize,
        tasks: usize,
        rows: usize,
    },
    Finish {
        worker: usize,
        which: Which,
        how: End,
    },
    GiveBack {
        worker: usize,
        which: Which,
        why: Why,
    },
    /// By leases that are over, whoever held them.
    FinishLate {
        which: Which,
        how: End,
    },
    GiveBackLate {
        which: Which,
        why: Why,
    },
    Cancel {
        task: Index,
    },
    Retry {
        task: Index,
    },
    Beat {
        worker: usize,
    },
    Die {
        worker: usize,
    },
    Promote,
}

/// Which of the tasks there are. Some may be named twice.
#[derive(Clone, Debug)]
pub(super) enum Which {
    All,
    Some(Vec<Index>),
}

impl Which {
    pub(super) fn of<T: Clone>(&self, all: &[T]) -> Vec<T> {
        match self {
            Self::All => all.to_vec(),
            Self::Some(_) if all.is_empty() => Vec::new(),
            Self::Some(indexes) => indexes.iter().map(|index| index.get(all).clone()).collect(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Done,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    Retry,
    Again,
    Release,
}

pub(super) fn history(length: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), length)
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    prop_oneof![
        3 => (1..=70usize, 1..=3i16, prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(count, attempts, is_later, is_urgent)| Step::Submit { count, attempts, is_later, is_urgent }),
        6 => (worker.clone(), 1..=100usize, 1..=6usize)
            .prop_map(|(worker, tasks, rows)| Step::Claim { worker, tasks, rows }),
        4 => (worker.clone(), which(), end()).prop_map(|(worker, which, how)| Step::Finish { worker, which, how }),
        4 => (worker.clone(), which(), why()).prop_map(|(worker, which, why)| Step::GiveBack { worker, which, why }),
        1 => (which(), end()).prop_map(|(which, how)| Step::FinishLate { which, how }),
        1 => (which(), why()).prop_map(|(which, why)| Step::GiveBackLate { which, why }),
        4 => any::<Index>().prop_map(|task| Step::Cancel { task }),
        3 => any::<Index>().prop_map(|task| Step::Retry { task }),
        1 => worker.clone().prop_map(|worker| Step::Beat { worker }),
        2 => worker.prop_map(|worker| Step::Die { worker }),
        2 => Just(Step::Promote),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![1 => Just(Which::All), 3 => vec(any::<Index>(), 1..30).prop_map(Which::Some)]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Done), Just(End::Failed), Just(End::Cancelled)]
}

fn why() -> impl Strategy<Value = Why> {
    prop_oneof![Just(Why::Retry), Just(Why::Again), Just(Why::Release)]
}
