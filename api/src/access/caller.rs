//! Whose request it is.

use std::{borrow::Cow, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use queue::{TaskId, inspect::Task, keyed::GLOBAL_SCOPE, task::Name};
use service::tokens::{Refusal, Scope, Token};

use super::{Reason, lacks};
use crate::{
    metrics::AccessMetrics,
    problem::{Kind, Problem},
    reads::Reads,
    routes::path::unknown,
    state::AppState,
};

/// Whoever sent a request that was let in, as far as handlers ask. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// None: there are no tokens, so it is anybody.
    token: Option<Arc<Token>>,
}

impl Caller {
    pub(super) fn of(token: Arc<Token>) -> Self {
        Self { token: Some(token) }
    }

    /// Whether it may see and use a queue.
    pub(crate) fn reaches(&self, queue: &str) -> bool {
        self.token.as_ref().is_none_or(|token| token.reaches(queue))
    }

    /// The task, if there is one and the caller may see it.
    pub(crate) fn visible(&self, task: Option<Task>) -> Option<Task> {
        task.filter(|task| self.reaches(&task.queue))
    }

    /// Whether there are queues that it does not reach.
    pub(crate) fn is_limited(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.queues.is_some())
    }

    /// The queues it reaches; none: all.
    pub(crate) fn queues(&self) -> Option<Vec<Name>> {
        let queues = self.token.as_ref()?.queues.as_ref()?;
        // What is no name names no queue.
        Some(queues.iter().filter_map(|queue| Name::new(queue.as_str()).ok()).collect())
    }

    /// Refuses a queue that it does not reach, and has named itself.
    pub(crate) fn check_queue(&self, queue: &str, metrics: &AccessMetrics) -> Result<(), Problem> {
        if self.reaches(queue) {
            return Ok(());
        }
        metrics.refused(Reason::Queue);
        Err(Problem::new(Kind::Forbidden, format!("the token does not reach the queue {queue}")).with("queue", queue))
    }

    /// Refuses a task that it may not see, as if there were none. (A task never changes its queue.) Reads it only for those who do not
    /// reach every queue.
    pub(crate) async fn check_task(&self, id: TaskId, reads: &Reads) -> Result<(), Problem> {
        if !self.is_limited() || self.visible(reads.get(id).await?).is_some() { Ok(()) } else { Err(unknown(id)) }
    }

    /// Refuses who lacks a scope that not the operation needs but what was asked of it.
    pub(crate) fn check_scope(&self, scope: Scope, metrics: &AccessMetrics) -> Result<(), Problem> {
        if self.token.as_ref().is_none_or(|token| token.scopes.allow(scope)) {
            return Ok(());
        }
        metrics.refused(Reason::Scope);
        Err(lacks(scope))
    }

    /// Whose idempotency keys it uses: keys of two clients never meet. A client that changes its secret keeps its name, and so its keys.
    pub(crate) fn key_scope(&self) -> Cow<'static, str> {
        match &self.token {
            Some(token) => format!("token:{}", token.name).into(),
            None => GLOBAL_SCOPE.into(),
        }
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        if state.access.is_open() {
            return Ok(Self { token: None });
        }
        // Only a route that asks for no scope has none; a handler that asks whose request it is belongs to no such route.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Kind::Unauthorized, Refusal::Missing.meaning()))
    }
}
