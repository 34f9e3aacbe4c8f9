//! Queues that refuse submits while too much waits in them.
//!
//! Limits are settings of a queue; whoever accepts tasks asks a [`Gate`], a snapshot of the queues that have limits and of what waits in them. It is
//! made now and then, so limits are soft: between two snapshots whatever comes is let in. Tasks that were accepted are not touched.

use std::{collections::BTreeMap, time::Duration};

use diesel::{AsChangeset, BoolExpressionMethods, ExpressionMethods, QueryDsl, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::tables::queues;

use crate::{
    overview::waiting,
    task::{DELAY_LIMIT, Name},
};

/// Most tasks that a limit may name.
pub const DEPTH_LIMIT: i64 = 1_000_000_000;
/// Longest wait that a limit may name; the shortest is a second, for less is not seen.
pub const AGE_LIMIT: Duration = DELAY_LIMIT;

/// What may wait in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// So many tasks; none: any number.
    pub depth: Option<u64>,
    /// None for longer; none: for ever.
    pub age: Option<Duration>,
}

/// What waits in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Tasks that wait for a worker.
    pub tasks: u64,
    /// How long the oldest has.
    pub oldest: Option<Duration>,
}

/// What to change about limits: none leaves one as it is, `Some(None)` removes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// See [`Limits::depth`].
    pub depth: Option<Option<u64>>,
    /// See [`Limits::age`].
    pub age: Option<Option<Duration>>,
}

/// The queues with limits as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    by_queue: BTreeMap<Name, (Limits, Waiting)>,
}

#[derive(AsChangeset)]
#[diesel(table_name = queues)]
struct Columns {
    max_depth: Option<Option<i64>>,
    max_age_ms: Option<Option<i64>>,
}

impl Limits {
    pub(crate) fn of_columns(max_depth: Option<i64>, max_age_ms: Option<i64>) -> Self {
        Self {
            depth: max_depth.map(i64::unsigned_abs),
            age: max_age_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        }
    }

    /// Whether what waits is too much.
    pub fn are_reached_by(&self, waiting: &Waiting) -> bool {
        let is_deep = self.depth.is_some_and(|depth| waiting.tasks >= depth);
        let is_old = self.age.zip(waiting.oldest).is_some_and(|(limit, oldest)| oldest > limit);
        is_deep || is_old
    }
}

impl Gate {
    /// Whether no queue has limits.
    pub fn is_empty(&self) -> bool {
        self.by_queue.is_empty()
    }

    /// The limits of a full queue, and what waits in it; none: it takes more.
    pub fn refuses(&self, queue: &Name) -> Option<(Limits, Waiting)> {
        self.by_queue.get(queue).copied().filter(|(limits, waiting)| limits.are_reached_by(waiting))
    }
}

/// Looks at the queues that have limits; without any it is one small statement. Otherwise it costs as much as a look at `ready` for
/// [`overview`](mod@crate::overview): bounded at any backlog, by a sample of large tables.
pub async fn look(connection: &mut AsyncPgConnection) -> QueryResult<Gate> {
    let rows: Vec<(String, Option<i64>, Option<i64>)> = queues::table
        .filter(queues::max_depth.is_not_null().or(queues::max_age_ms.is_not_null()))
        .select((queues::name, queues::max_depth, queues::max_age_ms))
        .load(connection)
        .await?;
    if rows.is_empty() {
        return Ok(Gate::default());
    }
    let waiting = waiting(connection).await?;
    let queue = |(name, max_depth, max_age_ms): (String, Option<i64>, Option<i64>)| {
        let waiting = waiting.get(&name).copied().unwrap_or_default();
        // A queue whose name is none, set by hand: nothing can be submitted to it.
        Some((Name::new(name).ok()?, (Limits::of_columns(max_depth, max_age_ms), waiting)))
    };
    Ok(Gate { by_queue: rows.into_iter().filter_map(queue).collect() })
}

/// Changes the limits of a queue, of which at least one is named.
pub async fn set(connection: &mut AsyncPgConnection, queue: &Name, change: &Change) -> QueryResult<()> {
    let depth = change.depth.map(|depth| depth.map(|depth| i64::try_from(depth).unwrap_or(i64::MAX)));
    let age = change.age.map(|age| age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)));
    diesel::insert_into(queues::table)
        .values((
            queues::name.eq(queue.as_str()),
            queues::max_depth.eq(depth.flatten()),
            queues::max_age_ms.eq(age.flatten()),
        ))
        .on_conflict(queues::name)
        .do_update()
        .set(Columns { max_depth: depth, max_age_ms: age })
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_reached_by_depth_or_by_age() {
        let waiting = |tasks, oldest: Option<u64>| Waiting { tasks, oldest: oldest.map(Duration::from_secs) };
        let limits = |depth, age: Option<u64>| Limits { depth, age: age.map(Duration::from_secs) };
        for (limits, waiting, is_full) in [
            (limits(None, None), waiting(1_000_000, Some(1_000_000)), false),
            (limits(Some(10), None), waiting(9, Some(1_000_000)), false),
            (limits(Some(10), None), waiting(10, None), true),
            (limits(None, Some(5)), waiting(1_000_000, Some(5)), false),
            (limits(None, Some(5)), waiting(1, Some(6)), true),
            (limits(Some(10), Some(5)), waiting(0, None), false),
        ] {
            assert_eq!(limits.are_reached_by(&waiting), is_full, "{limits:?} {waiting:?}");
        }
    }
}
