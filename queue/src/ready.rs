//! What can be claimed, told to those who claim.

use crate::{id::BatchId, task::Lane};

/// A batch with tasks that have just become ready. A hint: by the time it is read they may be claimed, cancelled or finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyBatch {
    /// The batch.
    pub id: BatchId,
    /// Queue and kind of its tasks.
    pub lane: Lane,
    /// Their priority, higher first.
    pub priority: i16,
}
