//! Names and entries of streams.
//!
//! Redis keeps the order in which entries came. Urgent ones must not wait behind others, so a lane has a stream for each [`Urgency`]; and the
//! rest of a batch that was split, or did not fit, must not wait behind what came after it, so each of these has another one for rests, which is
//! read first. `#` is in no name of a queue or kind, so different lanes never share a stream.
//!
//! An entry has one field, `batch`, the batch's id. Whatever else it says is ignored, so that later releases may say more.

use std::collections::HashMap;

use queue::{BatchId, ReadyBatch, task::Lane};
use redis::{FromRedisValue, ParsingError, Value, from_redis_value};
use uuid::Uuid;

/// The consumer group of each stream; a worker is a consumer in it.
pub(crate) const GROUP: &str = "workers";
/// Longest a stream gets, roughly; older entries are dropped, and found by polling.
pub(crate) const LENGTH_LIMIT: usize = 100_000;
/// How long a stream that nobody writes to or reads from stays, in seconds.
pub(crate) const TTL_S: i64 = 24 * 3600;
/// The field of an entry.
pub(crate) const FIELD: &str = "batch";

/// How soon a batch is wanted, as far as Redis tells priorities apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Priority above 0.
    High,
    /// Priority 0.
    Normal,
    /// Priority below 0.
    Low,
}

impl Urgency {
    fn of(priority: i16) -> Self {
        match priority {
            1.. => Self::High,
            0 => Self::Normal,
            _ => Self::Low,
        }
    }
}

/// One of the streams of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    urgency: Urgency,
    is_rest: bool,
}

impl Class {
    /// In the order in which they are read. The one for rests stands right before the one whose rests it has.
    pub(crate) const ALL: [Self; 6] = [
        Self { urgency: Urgency::High, is_rest: true },
        Self { urgency: Urgency::High, is_rest: false },
        Self { urgency: Urgency::Normal, is_rest: true },
        Self { urgency: Urgency::Normal, is_rest: false },
        Self { urgency: Urgency::Low, is_rest: true },
        Self { urgency: Urgency::Low, is_rest: false },
    ];
}

/// The key of a lane's stream.
pub(crate) fn key(lane: &Lane, class: Class) -> String {
    let urgency = match class.urgency {
        Urgency::High => "#high",
        Urgency::Normal => "",
        Urgency::Low => "#low",
    };
    let rest = if class.is_rest { "#rest" } else { "" };
    format!("taskrow:{}#{}{urgency}{rest}", lane.queue, lane.kind)
}

/// The key of the stream that tells of a batch.
pub(crate) fn key_of(batch: &ReadyBatch) -> String {
    key(&batch.lane, Class { urgency: Urgency::of(batch.priority), is_rest: false })
}

/// An entry, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place in the stream.
    pub(crate) id: String,
    /// What it tells of.
    pub(crate) news: News,
}

/// What an entry says, by name.
type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// What an entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A batch.
    Batch(BatchId),
    /// It is none of ours.
    Foreign,
    /// It was deleted or dropped after it was delivered.
    Gone,
}

impl Entry {
    /// The batch that it tells of.
    pub(crate) fn batch(&self) -> Option<BatchId> {
        match self.news {
            News::Batch(batch) => Some(batch),
            News::Foreign | News::Gone => None,
        }
    }
}

/// The client's own types refuse a whole answer for one entry with a field that is not text, or that is gone.
impl FromRedisValue for Entry {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (id, fields): (String, Option<Fields>) = from_redis_value(value)?;
        let batch = |fields: Fields| {
            let id = Uuid::try_parse(str::from_utf8(fields.get(FIELD.as_bytes())?).ok()?).ok()?;
            let batch = BatchId::from_uuid(id);
            (batch.uuid() == id).then_some(batch)
        };
        let news = fields.map_or(News::Gone, |fields| batch(fields).map_or(News::Foreign, News::Batch));
        Ok(Self { id, news })
    }
}

#[cfg(test)]
mod tests {
    use queue::task::Name;

    use super::*;

    fn lane(queue: &str, kind: &str) -> Lane {
        Lane { queue: Name::new(queue).unwrap(), kind: Name::new(kind).unwrap() }
    }

    fn news(fields: Value) -> News {
        let entry = Value::Array(vec![Value::BulkString(b"1-2".to_vec()), fields]);
        let entry: Entry = from_redis_value(entry).unwrap();
        assert_eq!(entry.id, "1-2");
        entry.news
    }

    fn news_of(fields: &[&[u8]]) -> News {
        news(Value::Array(fields.iter().map(|part| Value::BulkString(part.to_vec())).collect()))
    }

    #[test]
    fn lanes_and_urgencies_have_streams_of_their_own() {
        let batch = |lane, priority| key_of(&ReadyBatch { id: BatchId::new(), lane, priority });
        let keys = [
            batch(lane("a", "b"), 0),
            batch(lane("a", "b"), 1),
            batch(lane("a", "b"), -1),
            batch(lane("a:b", "c"), 0),
            batch(lane("a", "b:c"), 0),
        ];
        assert_eq!(keys, ["taskrow:a#b", "taskrow:a#b#high", "taskrow:a#b#low", "taskrow:a:b#c", "taskrow:a#b:c"]);
        let in_order = Class::ALL.map(|class| key(&lane("a", "b"), class).replace("taskrow:a#b", ""));
        assert_eq!(in_order, ["#high#rest", "#high", "#rest", "", "#low#rest", "#low"]);
    }

    #[test]
    fn entries_of_others_tell_of_nothing() {
        let batch = BatchId::new();
        let text = batch.uuid().to_string();
        assert_eq!(news_of(&[b"batch", text.as_bytes()]), News::Batch(batch));
        assert_eq!(news_of(&[b"\xff", b"\xff", b"batch", text.as_bytes()]), News::Batch(batch));
        let task = batch.task(7).uuid().to_string();
        for (field, value) in [
            (b"batch".as_slice(), b"".as_slice()),
            (b"batch", b"nonsense"),
            (b"batch", b"\x00\xff"),
            (b"job", text.as_bytes()),
            (b"batch", task.as_bytes()),
        ] {
            assert_eq!(news_of(&[field, value]), News::Foreign, "{field:?} {value:?}");
        }
        assert_eq!(news(Value::Nil), News::Gone);
    }
}
