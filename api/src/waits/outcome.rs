//! Reading a task when it has ended.

use std::time::Duration;

use queue::{TaskId, inspect::Task, watch::Question};
use tokio::time::{self, Instant};

use super::{News, Wait, Waits};
use crate::{reads::Reads, store::Unavailable};

/// How long the read of a task that has just ended may take beyond the time that its submitter wanted to wait.
const LAST_READ: Duration = Duration::from_secs(1);

/// What somebody who waited gets.
#[derive(Debug)]
pub(crate) struct Waited {
    /// The task, if there is one.
    pub(crate) task: Option<Task>,
    /// Whether it was waited as was wished. (Not: all places were taken, or the process stops.)
    pub(crate) as_wished: bool,
}

/// Reads a task when it has ended, at once if there is none or it is not `visible`, and as it stands when the time is up. Holds no task while it waits. An
/// outage during the wait is no error; one at its end is.
pub(crate) async fn read_when_final(
    reads: &Reads,
    waits: &Waits,
    id: TaskId,
    wait: Wait,
    visible: impl Fn(&Task) -> bool,
) -> Result<Waited, Unavailable> {
    let deadline = Instant::now() + wait.span();
    let mut place = None;
    loop {
        let read = reads.get(id).await.map(|task| task.filter(&visible));
        let is_open = match &read {
            Ok(task) => task.as_ref().is_some_and(|task| !task.status.is_final()),
            Err(_) => true,
        };
        if !is_open || Instant::now() >= deadline {
            return Ok(Waited { task: read?, as_wished: true });
        }
        // What happens between the read and this is found by the first look.
        let watch = match place.take().or_else(|| waits.watch(id, Question::Outcome)) {
            Some(watch) => place.insert(watch),
            None => return Ok(Waited { task: read?, as_wished: false }),
        };
        drop(read);
        if let Ok(News::Closing) = time::timeout_at(deadline, watch.news()).await {
            return Ok(Waited { task: reads.get(id).await?.filter(&visible), as_wished: false });
        }
    }
}

/// Waits for the end of a task that was just stored. No task: it did not end in time, as far as is known; that is no error, whatever
/// the reason.
pub(crate) async fn final_in_time(reads: &Reads, waits: &Waits, id: TaskId, wait: Wait) -> Waited {
    let deadline = Instant::now() + wait.span();
    let Some(watch) = waits.watch(id, Question::Outcome) else { return Waited { task: None, as_wished: false } };
    loop {
        let is_last = match time::timeout_at(deadline, watch.news()).await {
            Ok(News::Changed) => false,
            Ok(News::Closing) => return Waited { task: None, as_wished: false },
            // Looks are up to a second apart: what ended since the last one has ended in time.
            Err(_) => true,
        };
        let read = time::timeout_at(deadline + LAST_READ, reads.get(id)).await;
        if let Ok(Ok(Some(task))) = read
            && task.status.is_final()
        {
            return Waited { task: Some(task), as_wished: true };
        }
        if is_last {
            return Waited { task: None, as_wished: true };
        }
    }
}
