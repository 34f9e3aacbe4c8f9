//! All that a run leaves behind, in memory.

use uuid::Uuid;

use crate::{
    audit::{Key, Row, Task},
    history::Line,
};

const PLACES: u128 = 63;

/// In any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The histories of all processes.
    pub lines: Vec<Line>,
    /// What the database saw.
    pub audit: Vec<Row>,
    /// Every task that is stored at the end.
    pub tasks: Vec<Task>,
    /// Every idempotency key.
    pub keys: Vec<Key>,
}

/// The batch of a task: its id without the low 6 bits. (As documented for the table; the checker trusts none of the queue's code.)
pub(super) fn batch_of(task: Uuid) -> Uuid {
    Uuid::from_u128(task.as_u128() & !PLACES)
}

/// The place of a task in its batch: the low 6 bits.
pub(super) fn place_of(task: Uuid) -> u8 {
    (task.as_u128() & PLACES) as u8
}

/// The task at a place of a batch.
pub(super) fn task_at(batch: Uuid, place: u8) -> Uuid {
    Uuid::from_u128(batch.as_u128() | u128::from(place))
}
