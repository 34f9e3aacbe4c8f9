//! What waits to be stored, and how much of it may.

use std::collections::VecDeque;

/// Something that waits as a whole: it is taken as a whole.
pub(super) trait Weighed {
    /// Its tasks.
    fn tasks(&self) -> usize;
    /// The memory it takes, roughly.
    fn bytes(&self) -> usize;
}

/// A number of tasks and of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) tasks: usize,
    pub(super) bytes: usize,
}

/// How full a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Tasks that wait.
    pub tasks: usize,
    /// Their memory, roughly.
    pub bytes: usize,
    /// Most tasks.
    pub tasks_capacity: usize,
    /// Most memory.
    pub bytes_capacity: usize,
}

/// Why nothing more goes in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// First in, first out.
#[derive(Debug)]
pub(super) struct Buffer<T> {
    waiting: VecDeque<T>,
    used: Bounds,
    bounds: Bounds,
    is_closed: bool,
}

impl<T: Weighed> Buffer<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { waiting: VecDeque::new(), used: Bounds { tasks: 0, bytes: 0 }, bounds, is_closed: false }
    }

    /// Puts something in if all of it fits. An empty buffer takes anything: what is larger than the bounds is stored by itself.
    pub(super) fn push(&mut self, item: T) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Closed);
        }
        let tasks = self.used.tasks + item.tasks();
        let bytes = self.used.bytes + item.bytes();
        if (tasks > self.bounds.tasks || bytes > self.bounds.bytes) && !self.waiting.is_empty() {
            return Err(Refused::Full);
        }
        self.used = Bounds { tasks, bytes };
        self.waiting.push_back(item);
        Ok(())
    }

    /// Takes the oldest items, as many as fit into `limit`, and at least one.
    pub(super) fn take(&mut self, limit: Bounds) -> Vec<T> {
        let mut taken = Vec::new();
        let mut left = limit;
        while let Some(item) = self.waiting.front() {
            let (tasks, bytes) = (item.tasks(), item.bytes());
            if !taken.is_empty() && (tasks > left.tasks || bytes > left.bytes) {
                break;
            }
            left = Bounds { tasks: left.tasks.saturating_sub(tasks), bytes: left.bytes.saturating_sub(bytes) };
            self.used = Bounds { tasks: self.used.tasks - tasks, bytes: self.used.bytes - bytes };
            taken.extend(self.waiting.pop_front());
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn fill(&self) -> Fill {
        Fill {
            tasks: self.used.tasks,
            bytes: self.used.bytes,
            tasks_capacity: self.bounds.tasks,
            bytes_capacity: self.bounds.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks and bytes.
    #[derive(Debug, PartialEq, Eq)]
    struct Item(usize, usize);

    impl Weighed for Item {
        fn tasks(&self) -> usize {
            self.0
        }
        fn bytes(&self) -> usize {
            self.1
        }
    }

    fn buffer(items: impl IntoIterator<Item = Item>) -> Buffer<Item> {
        let mut buffer = Buffer::new(Bounds { tasks: 10, bytes: 100 });
        for item in items {
            buffer.push(item).unwrap();
        }
        buffer
    }

    #[test]
    fn either_bound_refuses_and_nothing_changes() {
        let mut full = buffer([Item(6, 10), Item(2, 60)]);
        let before = full.fill();
        assert_eq!(full.push(Item(3, 1)), Err(Refused::Full));
        assert_eq!(full.push(Item(1, 31)), Err(Refused::Full));
        assert_eq!(full.fill(), before);
        assert_eq!(full.push(Item(2, 30)), Ok(()));
        full.close();
        assert_eq!(full.push(Item(0, 0)), Err(Refused::Closed));
    }

    #[test]
    fn whole_items_are_taken_in_order_up_to_a_limit() {
        let mut buffer = buffer([Item(2, 10), Item(2, 10), Item(2, 10), Item(1, 1)]);
        assert_eq!(buffer.take(Bounds { tasks: 5, bytes: 100 }), [Item(2, 10), Item(2, 10)]);
        assert_eq!(buffer.take(Bounds { tasks: 5, bytes: 10 }), [Item(2, 10)]);
        assert_eq!(buffer.take(Bounds { tasks: 5, bytes: 10 }), [Item(1, 1)]);
        assert_eq!(buffer.take(Bounds { tasks: 5, bytes: 10 }), []);
        assert_eq!((buffer.fill().tasks, buffer.fill().bytes), (0, 0));
    }

    #[test]
    fn what_is_larger_than_every_limit_goes_by_itself() {
        let mut buffer = buffer([Item(50, 500)]);
        assert_eq!(buffer.push(Item(1, 1)), Err(Refused::Full));
        assert_eq!(buffer.take(Bounds { tasks: 5, bytes: 10 }), [Item(50, 500)]);
        assert_eq!(buffer.push(Item(1, 1)), Ok(()));
    }
}
