//! Clients: those who submit, read, wait, cancel and pause, over HTTP, as others would write them.

mod api;
mod cancel;
mod pace;
mod pause;
mod read;
mod request;
mod submit;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use service::{exit::Failure, tasks::Tasks};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{api::Api, pace::Pace};
use crate::{admin::Admin, writer::Writer};

/// How many of the tasks accepted last are remembered, for those who read and cancel.
const REMEMBERED: usize = 4096;
/// Clients of each sort.
const SINGLES: u64 = 8;
const BATCHES: u64 = 6;
const READERS: u64 = 3;
const CANCELLERS: u64 = 2;
/// Most complaints that are kept.
const COMPLAINTS: usize = 100;

/// What the clients share.
#[derive(Debug)]
pub(crate) struct Shared {
    api: Api,
    admin: Admin,
    history: Writer,
    pace: Pace,
    requests: AtomicU64,
    accepted: AtomicU64,
    latest: Mutex<VecDeque<Uuid>>,
    complaints: Mutex<Vec<String>>,
    /// Nothing new is submitted.
    enough: CancellationToken,
    /// Everybody goes home.
    stop: CancellationToken,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    submitters: Tasks,
    others: Tasks,
}

/// How much they do.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Tasks, about.
    pub tasks: u64,
    /// In this time.
    pub time: Duration,
    /// Only what the previous release knows, too: no keys, no waiting, and none of the kind `probe`.
    pub plain: bool,
}

impl Load {
    /// Starts them. What they do differs from run to run, but for its amounts: answers come when they come.
    pub fn start(apis: Vec<SocketAddr>, admin: Admin, dir: &Path, seed: u64, amount: Amount) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            api: Api::new(apis)?,
            admin,
            history: Writer::create(dir, "clients").map_err(Failure::software)?,
            pace: Pace::new(amount.tasks, amount.time),
            requests: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            latest: Mutex::default(),
            complaints: Mutex::default(),
            enough: CancellationToken::new(),
            stop: CancellationToken::new(),
        });
        let (submitters, others) = (Tasks::new(), Tasks::new());
        let seeds = |sort: u64, number: u64| fastrand::Rng::with_seed(seed ^ (sort << 32) ^ number);
        for number in 0..SINGLES {
            submitters.spawn(submit::singles(shared.clone(), seeds(1, number), amount.plain));
        }
        for number in 0..BATCHES {
            submitters.spawn(submit::batches(shared.clone(), seeds(2, number), amount.plain));
        }
        for number in 0..READERS {
            others.spawn(read::reads(shared.clone(), seeds(3, number), amount.plain));
        }
        for number in 0..CANCELLERS {
            others.spawn(cancel::cancels(shared.clone(), seeds(4, number)));
        }
        others.spawn(pause::pauses(shared.clone(), seeds(5, 0)));
        Ok(Self { shared, submitters, others })
    }

    /// Tasks acknowledged so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Whether as many were submitted as were wanted.
    pub fn is_through(&self) -> bool {
        self.shared.pace.is_through()
    }

    /// Lets those who submit come to an end, which may take until their last answer; then the others. What was wrong, in words: answers that no fault explains.
    pub async fn finish(self, limit: Duration) -> Vec<String> {
        self.shared.enough.cancel();
        if !self.submitters.finish(limit).await {
            self.shared.complain("clients did not come to an end".to_owned());
        }
        self.shared.stop.cancel();
        if !self.others.finish(limit).await {
            self.shared.complain("clients that read did not come to an end".to_owned());
        }
        std::mem::take(&mut *self.shared.complaints.lock().expect("no panic under the lock"))
    }
}

impl Shared {
    fn complain(&self, what: String) {
        let mut complaints = self.complaints.lock().expect("no panic under the lock");
        if complaints.len() < COMPLAINTS {
            complaints.push(what);
        }
    }

    fn remember(&self, ids: &[Uuid]) {
        self.accepted.fetch_add(ids.len() as u64, Ordering::Relaxed);
        let mut latest = self.latest.lock().expect("no panic under the lock");
        latest.extend(ids);
        let over = latest.len().saturating_sub(REMEMBERED);
        latest.drain(..over);
    }

    /// One of the tasks accepted last.
    fn one_of_the_latest(&self, rng: &mut fastrand::Rng) -> Option<Uuid> {
        let latest = self.latest.lock().expect("no panic under the lock");
        rng.choice(latest.iter()).copied()
    }
}
