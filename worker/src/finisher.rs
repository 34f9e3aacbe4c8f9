//! Writes what became of tasks: at once when idle, in batches under load.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use queue::{
    TaskId,
    claim::LeaseId,
    finish::{Fenced, Finished, Outcome, finish_and_tell, try_result},
    requeue::{Reason, Requeued, Returned, requeue},
    session,
    task::Lane,
    wakeup::Hint,
    workers::WorkerId,
};
use service::{
    backoff::Backoff,
    database::{Link, LinkError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time,
};
use tracing::{debug, warn};

use crate::incarnation::Shared;

/// Most tasks in one statement, and most that wait for the next one.
pub(crate) const BATCH: usize = 1024;
/// Most bytes of results in one statement.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// What the database refuses alone is tried again after so long.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// A task that has left its slot.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) lease: LeaseId,
    pub(crate) id: TaskId,
    pub(crate) lane: Lane,
    pub(crate) verdict: Verdict,
    /// The share of the memory for results that this one holds until it is written.
    pub(crate) _memory: Option<OwnedSemaphorePermit>,
}

/// What is to be written of it.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It ended.
    End(Outcome),
    /// It goes back.
    Return(Reason),
}

/// See the module.
pub(crate) struct Finisher {
    shared: Arc<Shared>,
    worker: WorkerId,
    link: Link,
    /// Refused by the database, each alone. They wait here so that nothing else waits for them; at most [`BATCH`].
    refused: Vec<Completed>,
}

impl Finisher {
    pub(crate) fn new(shared: Arc<Shared>, worker: WorkerId) -> Self {
        let link = shared.database.link(session::DURABLE.named("finisher"));
        Self { shared, worker, link, refused: Vec::new() }
    }

    /// Writes until the senders are gone and everything is written. When the worker is fenced its owner drops this: the
    /// leases are gone, and there is nothing to write.
    pub(crate) async fn run(mut self, mut completed: mpsc::Receiver<Completed>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut is_open = true;
        while is_open || !self.refused.is_empty() {
            tokio::select! {
                count = completed.recv_many(&mut batch, BATCH), if is_open && self.refused.len() < BATCH => is_open = count > 0,
                () = time::sleep(REFUSED_WAIT), if !self.refused.is_empty() => {
                    for task in std::mem::take(&mut self.refused) {
                        self.write(vec![task]).await;
                    }
                }
            }
            for part in by_size(std::mem::take(&mut batch)) {
                self.write(part).await;
            }
        }
    }

    /// Writes a part for as long as it takes. The database may be away; then the lease runs out at last, and the fence
    /// with it.
    async fn write(&mut self, part: Vec<Completed>) {
        let mut backoff = Backoff::default();
        let mut parts = vec![part];
        while let Some(mut part) = parts.pop() {
            let error = match self.try_write(&part).await {
                Ok(()) => {
                    self.shared.held.remove(&part);
                    backoff.reset();
                    continue;
                }
                Err(error) => error,
            };
            if !error.is_answer() {
                debug!(%error, tasks = part.len(), "outcomes not written yet");
                self.shared.readiness.set("postgres", Err(error.to_string()));
                parts.push(part);
                backoff.wait().await;
                continue;
            }
            // One bad value fails the statement for all: halve until it is alone.
            warn!(%error, tasks = part.len(), "the database refused outcomes");
            if part.len() > 1 {
                parts.push(part.split_off(part.len() / 2));
                parts.push(part);
            } else {
                self.set_aside(part).await;
            }
        }
    }

    /// Keeps refused outcomes for another try, for the database may be in trouble: a full disk, a lock. A result that it
    /// cannot even read is given up.
    async fn set_aside(&mut self, mut part: Vec<Completed>) {
        for task in &mut part {
            let Verdict::End(outcome @ Outcome::Done(_)) = &mut task.verdict else { continue };
            let Outcome::Done(result) = &*outcome else { continue };
            let read = self.link.run(async |connection| try_result(connection, result).await).await;
            if read.is_err_and(|error| error.is_answer()) {
                *outcome = Outcome::Failed("the database refused the result".to_owned());
            }
        }
        self.refused.append(&mut part);
    }

    /// Both statements may be repeated: what was written before is found written.
    async fn try_write(&mut self, part: &[Completed]) -> Result<(), LinkError> {
        let worker = self.worker;
        let finished: Vec<Finished> = part.iter().filter_map(Completed::finished).collect();
        if !finished.is_empty() {
            let finish = self.link.run(async |connection| finish_and_tell(connection, worker, &finished).await);
            let (answers, leaves_callbacks) = finish.await?;
            self.count_finished(part, &answers);
            if leaves_callbacks {
                self.shared.wakes.callbacks_due.store(true, Ordering::Relaxed);
                self.shared.wakes.steward.notify_one();
            }
        }
        let returned: Vec<Returned> = part.iter().filter_map(Completed::returned).collect();
        if !returned.is_empty() {
            let answers = self.link.run(async |connection| requeue(connection, worker, &returned).await).await?;
            self.count_returned(part, &answers);
            self.tell_of_released(part);
            // A retry may be due before anything the steward knows of.
            self.shared.wakes.steward.notify_one();
        }
        Ok(())
    }

    /// Released tasks can be claimed at once, by whoever has room.
    fn tell_of_released(&self, part: &[Completed]) {
        let released = part.iter().filter(|task| matches!(task.verdict, Verdict::Return(Reason::Release)));
        for queue in released.map(|task| &task.lane.queue).collect::<BTreeSet<_>>() {
            self.shared.notifier.tell(Hint::Work(queue.clone()));
        }
    }

    fn count_finished(&self, part: &[Completed], answers: &[Fenced]) {
        let ended = part.iter().filter_map(|task| match &task.verdict {
            Verdict::End(outcome) => Some((task, outcome)),
            Verdict::Return(_) => None,
        });
        for ((task, outcome), answer) in ended.zip(answers) {
            let lane = self.shared.metrics.lane(&task.lane);
            match (answer, outcome) {
                (Fenced::LeaseLost, _) => lane.lease_lost.inc(),
                (_, Outcome::Done(_)) => lane.done.inc(),
                (_, Outcome::Failed(_)) => lane.failed.inc(),
                (_, Outcome::Cancelled) => lane.cancelled.inc(),
            };
        }
    }

    fn count_returned(&self, part: &[Completed], answers: &[Requeued]) {
        let returned = part.iter().filter_map(|task| match &task.verdict {
            Verdict::Return(reason) => Some((task, reason)),
            Verdict::End(_) => None,
        });
        for ((task, reason), answer) in returned.zip(answers) {
            let lane = self.shared.metrics.lane(&task.lane);
            match (answer, reason) {
                (Requeued::LeaseLost, _) => lane.lease_lost.inc(),
                (Requeued::Cancelled, _) => lane.cancelled.inc(),
                (Requeued::Applied, Reason::Retry { .. }) => lane.retried.inc(),
                (Requeued::Applied, _) => lane.returned.inc(),
            };
        }
    }
}

impl Completed {
    /// A claimed task that goes back without having run.
    pub(crate) fn release(task: queue::claim::Claimed) -> Self {
        Self {
            lease: task.lease,
            id: task.id,
            lane: task.lane,
            verdict: Verdict::Return(Reason::Release),
            _memory: None,
        }
    }

    fn finished(&self) -> Option<Finished> {
        match &self.verdict {
            Verdict::End(outcome) => Some(Finished { lease: self.lease, id: self.id, outcome: outcome.clone() }),
            Verdict::Return(_) => None,
        }
    }

    fn returned(&self) -> Option<Returned> {
        match &self.verdict {
            Verdict::Return(reason) => Some(Returned { lease: self.lease, id: self.id, reason: reason.clone() }),
            Verdict::End(_) => None,
        }
    }

    fn size(&self) -> usize {
        match &self.verdict {
            Verdict::End(Outcome::Done(result)) => result.get().len(),
            _ => 0,
        }
    }
}

/// Longest that writing may go on after everything else has ended.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Splits where the results of a part would exceed [`BATCH_BYTES`].
fn by_size(completed: Vec<Completed>) -> Vec<Vec<Completed>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for task in completed {
        bytes += task.size();
        if bytes > BATCH_BYTES {
            parts.push(Vec::new());
            bytes = task.size();
        }
        parts.last_mut().expect("starts with one").push(task);
    }
    parts.retain(|part| !part.is_empty());
    parts
}
