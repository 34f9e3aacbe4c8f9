//! Which dependency is missing.
//!
//! A process is ready when it is not stopping and every dependency it registered was reached at its last check.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{info, warn};

/// Shared between the loops that notice and the `/ready` route that tells.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    dependencies: BTreeMap<&'static str, Result<(), String>>,
}

/// What `/ready` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// True: 200. False: 503.
    pub ready: bool,
    /// True while the process drains.
    pub stopping: bool,
    /// Each dependency, and the reason when it is missing.
    pub dependencies: BTreeMap<&'static str, Result<(), String>>,
}

impl Readiness {
    /// Registers dependencies, all missing until they are first reached.
    pub fn new(dependencies: &[&'static str]) -> Self {
        let readiness = Self::default();
        for name in dependencies {
            readiness.lock().dependencies.insert(name, Err("not reached yet".to_owned()));
        }
        readiness
    }

    /// Records the last check of a dependency. `Err` holds a reason fit for operators (never a connection string).
    /// Logs changes only.
    pub fn set(&self, dependency: &'static str, outcome: Result<(), String>) {
        let mut state = self.lock();
        let before = state.dependencies.insert(dependency, outcome.clone());
        drop(state);
        if before.as_ref() == Some(&outcome) {
            return;
        }
        match outcome {
            Ok(()) => info!(dependency, "dependency reached"),
            Err(reason) => warn!(dependency, reason, "dependency missing: not ready"),
        }
    }

    /// Whether a dependency was missing at its last check.
    pub fn is_missing(&self, dependency: &'static str) -> bool {
        self.lock().dependencies.get(dependency).is_some_and(Result::is_err)
    }

    /// Turns `/ready` off for good: the process is stopping.
    pub fn stop(&self) {
        self.lock().stopping = true;
    }

    /// Whether the process is stopping.
    pub fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// The state now.
    pub fn report(&self) -> Report {
        let state = self.lock();
        Report {
            ready: !state.stopping && state.dependencies.values().all(Result::is_ok),
            stopping: state.stopping,
            dependencies: state.dependencies.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
