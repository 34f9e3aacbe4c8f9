//! The strict queues as this process knows them. [`health`](crate::health) reloads them at each of its looks, the first of them before
//! the API is ready; while Postgres is away the last ones hold.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use queue::{
    Lane,
    strict::{Kinds, Strict},
    task::Name,
};

use crate::{options::BadOption, problem::Problem};

/// Kinds named in a sentence; `accepts` of the problem lists them all.
const NAMED: usize = 5;

/// See the module. Clones share what is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct StrictQueues {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether there are any: all that a submit looks at where there are none.
    any: AtomicBool,
    strict: RwLock<Arc<Strict>>,
}

/// A queue does not accept a kind.
#[derive(Debug)]
pub(crate) struct Refused {
    reason: String,
    accepts: Vec<String>,
}

impl StrictQueues {
    /// The strict queues; none: there are none.
    pub(crate) fn get(&self) -> Option<Arc<Strict>> {
        // A submit that meets the old value came before the change.
        let any = self.shared.any.load(Ordering::Relaxed);
        any.then(|| Arc::clone(&self.shared.strict.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What Postgres has.
    pub(crate) fn set(&self, strict: Strict) {
        self.update(|_| strict);
    }

    /// What this process has just told Postgres.
    pub(crate) fn change(&self, queue: Name, kinds: Option<Kinds>) {
        self.update(|strict| strict.clone().with(queue, kinds));
    }

    /// Whether a lane's queue accepts its kind.
    pub(crate) fn check(&self, lane: &Lane) -> Result<(), Refused> {
        match self.get() {
            Some(strict) => check(&strict, lane),
            None => Ok(()),
        }
    }

    fn update(&self, change: impl FnOnce(&Strict) -> Strict) {
        let mut strict = self.shared.strict.write().unwrap_or_else(PoisonError::into_inner);
        *strict = Arc::new(change(&strict));
        self.shared.any.store(!strict.is_empty(), Ordering::Relaxed);
    }
}

/// Whether a lane's queue accepts its kind.
pub(crate) fn check(strict: &Strict, lane: &Lane) -> Result<(), Refused> {
    let Some(kinds) = strict.refuses(lane) else { return Ok(()) };
    let accepts: Vec<String> = kinds.iter().map(Name::to_string).collect();
    let named = accepts.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match accepts.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Refused { reason: format!("queue {} accepts only {named}{more}", lane.queue), accepts })
}

impl From<Refused> for BadOption {
    fn from(refused: Refused) -> Self {
        Self { name: "kind", reason: refused.reason }
    }
}

impl From<Refused> for Problem {
    fn from(mut refused: Refused) -> Self {
        let accepts = std::mem::take(&mut refused.accepts);
        Self::from(BadOption::from(refused)).with("accepts", accepts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(queue: &str, kind: &str) -> Lane {
        Lane { queue: Name::new(queue).unwrap(), kind: Name::new(kind).unwrap() }
    }

    fn kinds(names: &[&str]) -> Option<Kinds> {
        Some(names.iter().map(|name| Name::new(*name).unwrap()).collect())
    }

    #[test]
    fn only_strict_queues_refuse() {
        let queues = StrictQueues::default();
        assert!(queues.get().is_none() && queues.check(&lane("mail", "resize")).is_ok());
        queues.change(Name::new("mail").unwrap(), kinds(&["email", "http"]));
        assert_eq!(queues.check(&lane("mail", "resize")).unwrap_err().reason, "queue mail accepts only email, http");
        for fine in [lane("mail", "email"), lane("default", "resize")] {
            assert!(queues.check(&fine).is_ok(), "{fine:?}");
        }
        queues.change(Name::new("mail").unwrap(), None);
        assert!(queues.get().is_none() && queues.check(&lane("mail", "resize")).is_ok());
    }

    #[test]
    fn a_sentence_names_a_few_kinds() {
        let queues = StrictQueues::default();
        queues.change(Name::new("q").unwrap(), kinds(&["a", "b", "c", "d", "e", "f", "g"]));
        let refused = queues.check(&lane("q", "z")).unwrap_err();
        assert_eq!(
            (refused.reason.as_str(), refused.accepts.len()),
            ("queue q accepts only a, b, c, d, e and 2 more", 7)
        );
    }
}
