//! Why a task is where it is, and what it went through. For people: exact where that is cheap, bounded everywhere.
//!
//! [`explain`] reads what there is to know (`facts`) in one snapshot, and [`reasons`](fn@reasons) says what it means.

mod attempts;
mod facts;
mod lane;
mod reasons;

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

pub use self::{
    attempts::{ATTEMPTS_LIMIT, Attempt, ERROR_LIMIT, Ended},
    facts::{Facts, Lease, Place},
    lane::{Ahead, LISTED_LIMIT, LaneWorkers, LiveWorker},
    reasons::{Reason, reasons},
};
use crate::{id::TaskId, session};

/// Collects the facts about a task, none if there is no such task.
///
/// A read-only transaction of a few statements on one snapshot. Each goes along an index and stops at a limit, except that those
/// who count a lane's tasks or look for workers walk over the dead entries that a snapshot held by somebody keeps, as a claim does.
pub async fn explain(connection: &mut AsyncPgConnection, id: TaskId) -> QueryResult<Option<Facts>> {
    connection
        .build_transaction()
        .repeatable_read()
        .read_only()
        .run(async |connection| {
            connection.batch_execute(session::PLANS_HERE).await?;
            facts::collect(connection, id).await
        })
        .await
}
