//! Requests that share a submission.

use chrono::{DateTime, Utc};
use queue::{
    BatchId, NewTask, ReadyBatch, Status, TaskId,
    submit::{Stored, Submission},
    task::{Name, Options, Start},
};
use tokio::{sync::oneshot, time::Instant};

use super::{Accepted, SubmitError, buffer::Weighed};

/// What a task takes besides its payload, roughly.
pub(crate) const TASK_OVERHEAD: usize = 256;

/// Tasks of one request: stored together or not at all.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) tasks: Vec<NewTask>,
    pub(super) reply: oneshot::Sender<Result<Vec<Accepted>, SubmitError>>,
    /// From then on nobody waits for the answer.
    pub(super) expires: Instant,
}

impl Weighed for Request {
    fn tasks(&self) -> usize {
        self.tasks.len()
    }

    fn bytes(&self) -> usize {
        self.tasks
            .iter()
            .map(|task| TASK_OVERHEAD + task.payload.get().len() + task.callback_url.as_deref().map_or(0, str::len))
            .sum()
    }
}

/// One submission, and who waits for which part of it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) submission: Submission,
    replies: Vec<Reply>,
}

/// Who waits for the next so many tasks.
#[derive(Debug)]
struct Reply {
    sender: oneshot::Sender<Result<Vec<Accepted>, SubmitError>>,
    tasks: usize,
}

impl Group {
    /// Gives the tasks their ids.
    pub(super) fn new(requests: Vec<Request>) -> Self {
        let mut tasks = Vec::with_capacity(requests.iter().map(|request| request.tasks.len()).sum());
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            replies.push(Reply { sender: request.reply, tasks: request.tasks.len() });
            tasks.extend(request.tasks);
        }
        Self { submission: Submission::new(tasks), replies }
    }

    /// How many requests.
    pub(super) fn requests(&self) -> usize {
        self.replies.len()
    }

    /// Two groups of half the requests each, under other ids.
    pub(super) fn halves(self) -> (Self, Self) {
        let mut first = self.replies;
        let second = first.split_off(first.len() / 2);
        let mut tasks = self.submission.into_tasks();
        let rest = tasks.split_off(first.iter().map(|reply| reply.tasks).sum());
        let group = |tasks, replies| Self { submission: Submission::new(tasks), replies };
        (group(tasks, first), group(rest, second))
    }

    /// The queues of tasks that may run at once.
    pub(super) fn queues(&self) -> impl Iterator<Item = &Name> {
        self.submission
            .batches()
            .filter(|(_, options)| options.start == Start::Now)
            .map(|(_, options)| &options.lane.queue)
    }

    /// What is ready now that it is stored; and whether something is not, but later.
    pub(super) fn news(&self, stored: &Stored, now: DateTime<Utc>) -> (Vec<ReadyBatch>, bool) {
        let mut ready = Vec::new();
        let mut is_something_later = false;
        for (id, options) in self.submission.batches() {
            match status(id, options, stored, now) {
                Status::Scheduled => is_something_later = true,
                _ => ready.push(ReadyBatch { id, lane: options.lane.clone(), priority: options.priority }),
            }
        }
        (ready, is_something_later)
    }

    /// Answers all: stored.
    pub(super) fn acknowledge(self, stored: &Stored, now: DateTime<Utc>) {
        let accepted = |(id, task): (&TaskId, &NewTask)| Accepted {
            id: *id,
            status: status(id.batch(), &task.options, stored, now),
        };
        let mut tasks = self.submission.ids().iter().zip(self.submission.tasks()).map(accepted);
        for reply in self.replies {
            let accepted = tasks.by_ref().take(reply.tasks).collect();
            // A client that has hung up needs no answer.
            let _ = reply.sender.send(Ok(accepted));
        }
    }

    /// Answers all: not acknowledged.
    pub(super) fn fail(self, error: SubmitError) {
        for reply in self.replies {
            let _ = reply.sender.send(Err(error));
        }
    }
}

/// The database said which batches were not due. When it had stored them before, nobody remembers, and our clock has to do.
fn status(batch: BatchId, options: &Options, stored: &Stored, now: DateTime<Utc>) -> Status {
    let is_later = match (stored, options.start) {
        (Stored::Now(later), _) => later.contains(&batch),
        (Stored::Before, Start::Now) => false,
        (Stored::Before, Start::After(_)) => true,
        (Stored::Before, Start::At(time)) => time > now,
    };
    if is_later { Status::Scheduled } else { Status::Queued }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use queue::{
        Json, Lane,
        task::{DEFAULT_TIMEOUT, Name},
    };

    use super::*;

    type Answer = oneshot::Receiver<Result<Vec<Accepted>, SubmitError>>;

    fn task(queue: &str, start: Start) -> NewTask {
        let name = |text: &str| Name::new(text).unwrap();
        let lane = Lane { queue: name(queue), kind: name("echo") };
        NewTask {
            options: Options { lane, priority: 0, max_attempts: 1, timeout: DEFAULT_TIMEOUT, start },
            payload: Json::parse(b"1").unwrap(),
            callback_url: None,
        }
    }

    fn request(tasks: Vec<NewTask>) -> (Request, Answer) {
        let (reply, answer) = oneshot::channel();
        (Request { tasks, reply, expires: Instant::now() }, answer)
    }

    fn ids(mut answer: Answer) -> Vec<TaskId> {
        answer.try_recv().unwrap().unwrap().iter().map(|task| task.id).collect()
    }

    #[test]
    fn each_request_gets_the_ids_of_its_own_tasks() {
        let (one, answer_one) = request(vec![task("a", Start::Now), task("b", Start::Now)]);
        let (two, answer_two) = request(vec![task("a", Start::Now)]);
        let group = Group::new(vec![one, two]);
        let all = group.submission.ids().to_vec();
        let (ready, is_something_later) = group.news(&Stored::Now(HashSet::new()), Utc::now());
        let queues: Vec<_> = ready.iter().map(|batch| (batch.id, batch.lane.queue.as_str())).collect();
        assert_eq!((queues, is_something_later), (vec![(all[0].batch(), "a"), (all[1].batch(), "b")], false));
        group.acknowledge(&Stored::Now(HashSet::new()), Utc::now());
        assert_eq!([ids(answer_one), ids(answer_two)].concat(), all);
        assert_eq!(all[0].batch(), all[2].batch(), "requests share a batch");
    }

    #[test]
    fn halves_keep_requests_whole_and_in_order() {
        let (requests, answers): (Vec<_>, Vec<_>) =
            (1..=5).map(|size| request(vec![task("q", Start::Now); size])).unzip();
        let (first, second) = Group::new(requests).halves();
        assert_eq!((first.requests(), second.requests()), (2, 3));
        assert_eq!((first.submission.ids().len(), second.submission.ids().len()), (3, 12));
        let kept = first.submission.ids().to_vec();
        second.fail(SubmitError::NotStored);
        first.acknowledge(&Stored::Before, Utc::now());
        let mut answers = answers.into_iter();
        assert_eq!(answers.by_ref().take(2).flat_map(ids).collect::<Vec<_>>(), kept);
        assert!(answers.all(|mut answer| answer.try_recv().unwrap() == Err(SubmitError::NotStored)));
    }

    #[test]
    fn a_task_is_scheduled_if_the_database_says_so() {
        let now = Utc::now();
        let later = task("q", Start::After(Duration::from_secs(9)));
        let group = Group::new(vec![request(vec![task("q", Start::Now), later.clone()]).0]);
        let [_, scheduled] = *group.submission.ids() else { panic!("two tasks") };
        let stored = Stored::Now(HashSet::from([scheduled.batch()]));
        assert_eq!(status(scheduled.batch(), &later.options, &stored, now), Status::Scheduled);
        assert_eq!(status(scheduled.batch(), &later.options, &Stored::Now(HashSet::new()), now), Status::Queued);
        assert_eq!(status(scheduled.batch(), &later.options, &Stored::Before, now), Status::Scheduled);
        let at = |time| Options { start: Start::At(time), ..later.options.clone() };
        assert_eq!(status(scheduled.batch(), &at(now), &Stored::Before, now), Status::Queued);
        let (ready, is_something_later) = group.news(&stored, now);
        assert_eq!((ready.len(), is_something_later), (1, true));
    }
}
