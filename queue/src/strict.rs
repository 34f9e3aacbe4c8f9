//! Queues that accept some kinds only.
//!
//! An explicit list, not what live workers take: so that a rollout, or the moment when no worker is up, refuses nothing. Whoever
//! accepts tasks asks [`Strict`], a snapshot that it reloads now and then. Tasks that were accepted before are not touched.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{ExpressionMethods, QueryDsl, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::tables::queues;

use crate::task::{Lane, Name};

/// Most kinds a queue can be limited to.
pub const KINDS_LIMIT: usize = 100;

/// The kinds that a queue accepts.
pub type Kinds = BTreeSet<Name>;

/// The strict queues as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strict {
    by_queue: BTreeMap<Name, Kinds>,
}

impl Strict {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_queue.is_empty()
    }

    /// The kinds that the lane's queue accepts instead of the lane's; none: it accepts it.
    pub fn refuses(&self, lane: &Lane) -> Option<&Kinds> {
        let kinds = self.by_queue.get(&lane.queue)?;
        (!kinds.contains(&lane.kind)).then_some(kinds)
    }

    /// The same without the queues of which somebody must not hear.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&Name) -> bool) -> Self {
        self.by_queue.retain(|queue, _| keep(queue));
        self
    }

    /// The same with one queue changed.
    #[must_use]
    pub fn with(mut self, queue: Name, kinds: Option<Kinds>) -> Self {
        match kinds {
            Some(kinds) => self.by_queue.insert(queue, kinds),
            None => self.by_queue.remove(&queue),
        };
        self
    }
}

/// The strict queues. (A queue or kind whose name is none, set by hand, is left out: nothing can be submitted to it.)
pub async fn load(connection: &mut AsyncPgConnection) -> QueryResult<Strict> {
    let rows: Vec<(String, Option<Vec<String>>)> = queues::table
        .filter(queues::kinds.is_not_null())
        .select((queues::name, queues::kinds))
        .load(connection)
        .await?;
    let names = |kinds: Vec<String>| kinds.into_iter().filter_map(|kind| Name::new(kind).ok()).collect();
    let queue = |(name, kinds): (String, Option<Vec<String>>)| Some((Name::new(name).ok()?, names(kinds?)));
    Ok(Strict { by_queue: rows.into_iter().filter_map(queue).collect() })
}

/// Makes a queue strict, or lets it accept any kind again. `kinds` is not empty.
pub async fn set(connection: &mut AsyncPgConnection, queue: &Name, kinds: Option<&Kinds>) -> QueryResult<()> {
    let kinds: Option<Vec<&str>> = kinds.map(|kinds| kinds.iter().map(Name::as_str).collect());
    diesel::insert_into(queues::table)
        .values((queues::name.eq(queue.as_str()), queues::kinds.eq(&kinds)))
        .on_conflict(queues::name)
        .do_update()
        .set(queues::kinds.eq(&kinds))
        .execute(connection)
        .await
        .map(drop)
}
