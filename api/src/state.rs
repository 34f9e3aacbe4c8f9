//! What every request can reach.

use std::{ops::Deref, sync::Arc};

use dispatch::{Dispatch, Publisher};
use queue::wakeup::Notifier;
use service::{database::Database, readiness::Readiness, tasks::Tasks, tokens::Tokens};

use crate::{
    access::Access,
    admission::Admission,
    body::Bodies,
    config::ApiArgs,
    health::{POSTGRES, SCHEMA, Suspicion},
    keyed::Keyed,
    metrics::Metrics,
    overview::OverviewCache,
    reads::Reads,
    store::Store,
    strict::StrictQueues,
    submitter::Submitter,
    waits::Waits,
};

/// The parts of one API, wired; nothing runs yet (see [`crate::Api::run`]). Clones share them: each request makes some.
#[derive(Clone, Debug)]
pub struct AppState {
    parts: Arc<Parts>,
}

/// See [`AppState`].
#[derive(Debug)]
pub struct Parts {
    pub(crate) args: ApiArgs,
    pub(crate) access: Access,
    pub(crate) database: Database,
    pub(crate) bodies: Bodies,
    pub(crate) submitter: Submitter,
    pub(crate) keyed: Keyed,
    pub(crate) reads: Reads,
    pub(crate) waits: Waits,
    pub(crate) store: Store,
    pub(crate) strict: StrictQueues,
    pub(crate) admission: Admission,
    pub(crate) overview: OverviewCache,
    pub(crate) dispatch: Dispatch,
    pub(crate) publisher: Publisher,
    pub(crate) notifier: Notifier,
    pub(crate) readiness: Readiness,
    pub(crate) suspicion: Suspicion,
    pub(crate) metrics: Metrics,
}

impl AppState {
    /// Wires the parts. `tasks` runs what must outlive its request. Without tokens everybody may do everything.
    pub fn new(args: ApiArgs, database: Database, dispatch: Dispatch, tokens: Option<Tokens>, tasks: Tasks) -> Self {
        let suspicion = Suspicion::default();
        let readiness = Readiness::new(&[&[POSTGRES, SCHEMA], dispatch.dependencies()].concat());
        let notifier = Notifier::default();
        let submitter = Submitter::new(&args.submit, *args.http.request_timeout);
        let reads = Reads::new(*args.http.request_timeout);
        let waits = Waits::new(args.wait.waiters);
        let store = Store::new(&database, &args.read, tasks, suspicion.clone());
        let overview = OverviewCache::new(store.clone());
        let metrics =
            Metrics::new(&submitter, &reads, &waits, &store, &readiness, &overview, &dispatch, tokens.clone());
        let publisher = dispatch.publisher(notifier.clone());
        let parts = Parts {
            access: Access::new(tokens, &args.rate, metrics.access.clone()),
            keyed: Keyed::new(&args, &store, &publisher, &notifier, &metrics.submit),
            bodies: Bodies::new(&args.http),
            args,
            database,
            submitter,
            reads,
            waits,
            store,
            strict: StrictQueues::default(),
            admission: Admission::default(),
            overview,
            publisher,
            dispatch,
            notifier,
            readiness,
            suspicion,
            metrics,
        };
        Self { parts: Arc::new(parts) }
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}
