//! Ids asked for together, and who waits for each.

use std::collections::BTreeMap;

use queue::{TaskId, inspect::Task};
use tokio::sync::oneshot;

use super::Request;

/// Whoever has not been answered. Dropped: cannot be read.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In order: neighbours share pages of an index.
    waiting: BTreeMap<TaskId, Vec<oneshot::Sender<Option<Task>>>>,
}

impl Group {
    /// Leaves out those who have hung up.
    pub(super) fn new(requests: impl IntoIterator<Item = Request>) -> Self {
        let mut group = Self::default();
        for Request { id, reply } in requests {
            if !reply.is_closed() {
                group.waiting.entry(id).or_default().push(reply);
            }
        }
        group
    }

    /// Each id once.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.waiting.keys().copied().collect()
    }

    /// How many ids.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether everyone was answered.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Answers those who wait for this task. A client that has hung up needs no answer.
    pub(super) fn found(&mut self, task: Task) {
        let mut replies = self.waiting.remove(&task.id).unwrap_or_default();
        let last = replies.pop();
        for reply in replies {
            let _ = reply.send(Some(task.clone()));
        }
        if let Some(reply) = last {
            let _ = reply.send(Some(task));
        }
    }

    /// Answers all that are left: there are no such tasks.
    pub(super) fn not_found(self) {
        for reply in self.waiting.into_values().flatten() {
            let _ = reply.send(None);
        }
    }

    /// Two groups of half the ids each.
    pub(super) fn halves(mut self) -> (Self, Self) {
        let middle = self.waiting.keys().nth(self.len() / 2).copied();
        let second = middle.map(|id| self.waiting.split_off(&id)).unwrap_or_default();
        (self, Self { waiting: second })
    }
}

#[cfg(test)]
mod tests {
    use queue::BatchId;

    use super::*;

    type Answer = oneshot::Receiver<Option<Task>>;

    fn requests(ids: &[TaskId]) -> (Vec<Request>, Vec<Answer>) {
        ids.iter()
            .map(|id| {
                let (reply, answer) = oneshot::channel();
                (Request { id: *id, reply }, answer)
            })
            .unzip()
    }

    fn ids(count: u32) -> Vec<TaskId> {
        let batch = BatchId::new();
        (0..count).map(|place| batch.task(place)).collect()
    }

    #[test]
    fn an_id_is_asked_once_and_not_for_those_who_hung_up() {
        let ids = ids(3);
        let (requests, mut answers) = requests(&[ids[2], ids[0], ids[2], ids[1]]);
        drop(answers.pop());
        let group = Group::new(requests);
        assert_eq!(group.ids(), [ids[0], ids[2]]);
        group.not_found();
        assert!(answers.iter_mut().all(|answer| answer.try_recv().unwrap().is_none()));
    }

    #[test]
    fn halves_hold_everyone_once() {
        let ids = ids(5);
        let (requests, _answers) = requests(&ids);
        let (first, second) = Group::new(requests).halves();
        assert_eq!((first.ids().as_slice(), second.ids().as_slice()), ids.split_at(2));
    }

    #[test]
    fn a_group_that_is_dropped_answers_nobody() {
        let (requests, mut answers) = requests(&ids(2));
        drop(Group::new(requests));
        assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()));
    }
}
