//! A request's tasks and keys. Tasks of one request that share a unique key are folded into one, as if they had come one after the other.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    How,
    key::{Idempotency, Unique, UniqueKey, UniqueMode},
};
use crate::{
    submit::Submission,
    task::{Lane, NewTask},
};

/// Tasks with their ids and keys, ready to be stored. Making one fixes the ids, so storing it twice cannot store the tasks twice.
#[derive(Debug)]
pub struct Request {
    /// Names the request in the row of its idempotency key.
    pub(super) id: Uuid,
    pub(super) idempotency: Option<Idempotency>,
    /// The distinct tasks.
    pub(super) submission: Submission,
    /// A row per distinct unique key.
    pub(super) held: Vec<Held>,
    /// Parallel to the tasks given.
    items: Vec<Item>,
}

/// A unique key that the request wants for one of its distinct tasks.
#[derive(Debug)]
pub(super) struct Held {
    /// Index of the task.
    pub(super) at: usize,
    pub(super) key: UniqueKey,
    pub(super) mode: UniqueMode,
}

/// A task as given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Index of the distinct task that stands for it.
    pub(super) at: usize,
    /// Whether that one was made for it, and not for an earlier one with the same key.
    is_first: bool,
    mode: UniqueMode,
}

impl Request {
    /// Gives the tasks their ids. `unique`: the unique keys, by the index of their task.
    pub fn new(tasks: Vec<NewTask>, unique: Vec<(usize, Unique)>, idempotency: Option<Idempotency>) -> Self {
        let mut unique: BTreeMap<usize, Unique> = unique.into_iter().collect();
        let mut distinct: Vec<NewTask> = Vec::with_capacity(tasks.len());
        let mut held: Vec<Held> = Vec::new();
        let mut held_at: BTreeMap<(Lane, UniqueKey), usize> = BTreeMap::new();
        let mut items = Vec::with_capacity(tasks.len());
        for (index, task) in tasks.into_iter().enumerate() {
            let mut item = Item { at: distinct.len(), is_first: true, mode: UniqueMode::Keep };
            if let Some(Unique { key, mode }) = unique.remove(&index) {
                item.mode = mode;
                let name = (task.options.lane.clone(), key.clone());
                if let Some(first) = held_at.get(&name).map(|at| &mut held[*at]) {
                    items.push(Item { at: first.at, is_first: false, ..item });
                    if mode == UniqueMode::Replace {
                        let replaced = &mut distinct[first.at];
                        (replaced.payload, replaced.options.start) = (task.payload, task.options.start);
                        first.mode = mode;
                    }
                    continue;
                }
                held_at.insert(name, held.len());
                held.push(Held { at: distinct.len(), key, mode });
            }
            items.push(item);
            distinct.push(task);
        }
        Self { id: Uuid::now_v7(), idempotency, submission: Submission::new(distinct), held, items }
    }

    /// The memory it takes, roughly: payloads, and `overhead` for each task.
    pub fn bytes(&self, overhead: usize) -> usize {
        self.submission.tasks().iter().map(|task| overhead + task.payload.get().len()).sum()
    }

    /// The tasks given, in their order.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }
}

impl Item {
    /// What is told of it if its distinct task is stored.
    pub(super) fn how_if_stored(self) -> How {
        if self.is_first { How::Stored } else { self.how_if_replaced() }
    }

    /// What is told of it if an older task took the distinct task's payload.
    pub(super) fn how_if_replaced(self) -> How {
        match self.mode {
            UniqueMode::Keep => How::Kept,
            UniqueMode::Replace => How::Replaced,
        }
    }
}
