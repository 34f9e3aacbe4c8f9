//! Task ids and batches.
//!
//! A task id is a UUIDv7. The tasks of a batch share all of it but the low 6 bits, which are the task's *place* in the batch.
//! So an id alone tells its batch, and a batch's tasks are one range of ids. An id is a name, not a secret.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::mask::Mask;

/// Most tasks in a batch: one bit each in a 64-bit mask.
pub const BATCH_SIZE: usize = 64;

const PLACE_BITS: u128 = (BATCH_SIZE - 1) as u128;

/// Names a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

/// Names a batch: the id of its first place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(Uuid);

impl TaskId {
    /// Any UUID can be asked for; only those made by [`BatchId::new`] exist.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The id as a UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The batch it belongs to.
    pub const fn batch(self) -> BatchId {
        BatchId(Uuid::from_u128(self.0.as_u128() & !PLACE_BITS))
    }

    /// Its bit in the batch's mask.
    pub const fn bit(self) -> Mask {
        Mask::of_place((self.0.as_u128() & PLACE_BITS) as u32)
    }
}

impl BatchId {
    /// A new batch, after all others of this process and about now.
    #[expect(clippy::new_without_default, reason = "it is different each time")]
    pub fn new() -> Self {
        TaskId(Uuid::now_v7()).batch()
    }

    /// The batch whose first place has this id.
    pub const fn from_uuid(id: Uuid) -> Self {
        TaskId(id).batch()
    }

    /// The id of the first place.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The task at a place (0..64).
    pub const fn task(self, place: u32) -> TaskId {
        debug_assert!((place as usize) < BATCH_SIZE);
        TaskId(Uuid::from_u128(self.0.as_u128() | place as u128))
    }

    /// The tasks of a mask, in order.
    pub fn tasks(self, mask: Mask) -> impl Iterator<Item = TaskId> {
        mask.places().map(move |place| self.task(place))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_batches_ascend_and_never_share_ids() {
        let batches: Vec<_> = (0..1000).map(|_| BatchId::new()).collect();
        assert!(batches.windows(2).all(|pair| pair[0].task(63) < pair[1].task(0)), "{batches:?}");
    }
}
