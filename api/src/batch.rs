//! The body of POST /tasks/batch: a JSON array, or a JSON value a line.

use std::{borrow::Cow, fmt};

use chrono::{DateTime, Utc};
use queue::{Json, NewTask, keyed::Unique, strict::Strict, task::Name};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Number, error::Category, json, value::RawValue};

use crate::{
    body::Format,
    config::TaskArgs,
    options::{BadOption, Given, duration, one_of, unique},
    problem::{Kind, Problem},
    strict,
};

/// Most tasks in a batch request.
pub(crate) const BATCH_LIMIT: usize = 10_000;
/// Most bad items that are told.
const ERRORS_LIMIT: usize = 100;
/// Longest reason told, in characters.
const REASON_LIMIT: usize = 200;

/// An item as sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a payload")]
struct Item<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
    callback_url: Option<String>,
    queue: Option<Name>,
    kind: Option<Name>,
    priority: Option<Whole>,
    #[serde(default)]
    delay: Option<Span>,
    run_at: Option<DateTime<Utc>>,
    max_attempts: Option<Whole>,
    #[serde(default)]
    timeout: Option<Span>,
    #[serde(borrow)]
    unique_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    unique_mode: Option<Cow<'a, str>>,
}

/// A duration: text as in a query parameter, or a number of seconds.
struct Span(std::time::Duration);

/// An integer, also one that is written as `7.0`: to JSON Schema it is the same.
struct Whole(i64);

/// The tasks of a batch.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) tasks: Vec<NewTask>,
    /// The unique keys, by the index of their task. Most batches have none.
    pub(crate) unique: Vec<(usize, Unique)>,
}

/// Reads and checks a batch: all of it, or a problem.
pub(crate) fn parse(
    text: &[u8],
    format: Format,
    defaults: &TaskArgs,
    strict: Option<&Strict>,
    now: DateTime<Utc>,
) -> Result<Batch, Problem> {
    let items = match format {
        Format::Json => array(text)?,
        Format::Lines => lines(text)?,
    };
    match items.count {
        0 => return Err(Problem::new(Kind::InvalidBatch, "the batch is empty")),
        count if count > BATCH_LIMIT => {
            let detail = format!("{count} tasks; a batch holds at most {BATCH_LIMIT}");
            return Err(Problem::new(Kind::InvalidBatch, detail).with("limit", BATCH_LIMIT));
        }
        _ => {}
    }
    let mut tasks = Vec::with_capacity(items.first.len());
    let mut keys = Vec::new();
    let mut errors = Vec::new();
    let mut bad = 0;
    for (index, item) in items.first.into_iter().enumerate() {
        match task(item, defaults, strict, now) {
            Ok((task, key)) => {
                keys.extend(key.map(|key| (index, key)));
                tasks.push(task);
            }
            Err(reason) => {
                bad += 1;
                if errors.len() < ERRORS_LIMIT {
                    // Reasons may quote the request: they must not make the answer as long.
                    let reason: String = reason.chars().take(REASON_LIMIT).collect();
                    errors.push(json!({"index": index, "reason": reason}));
                }
            }
        }
    }
    if bad > 0 {
        let detail = format!("{bad} of {} tasks are bad; nothing was stored", items.count);
        return Err(Problem::new(Kind::InvalidBatch, detail).with("errors", errors));
    }
    Ok(Batch { tasks, unique: keys })
}

fn task(
    item: &RawValue,
    defaults: &TaskArgs,
    strict: Option<&Strict>,
    now: DateTime<Utc>,
) -> Result<(NewTask, Option<Unique>), String> {
    let item: Item<'_> = serde_json::from_str(item.get()).map_err(|error| error.to_string())?;
    let payload = Json::check(item.payload.to_owned()).map_err(|error| format!("payload: {error}"))?;
    let told = |bad: BadOption| format!("{}: {}", bad.name, bad.reason);
    let unique = unique(item.unique_key.as_deref(), item.unique_mode.as_deref()).map_err(told)?;
    let given = Given {
        queue: item.queue,
        kind: item.kind,
        priority: item.priority.map(|whole| whole.0),
        delay: item.delay.map(|span| span.0),
        run_at: item.run_at,
        max_attempts: item.max_attempts.map(|whole| whole.0),
        timeout: item.timeout.map(|span| span.0),
        unique: None,
        callback_url: item.callback_url,
        wait: None,
    };
    let callback_url = given.callback_url(defaults).map_err(told)?;
    one_of(callback_url.as_deref(), unique.as_ref()).map_err(told)?;
    let options = given.check(defaults, now).and_then(|options| match strict {
        Some(strict) => strict::check(strict, &options.lane).map(|()| options).map_err(BadOption::from),
        None => Ok(options),
    });
    Ok((NewTask { options: options.map_err(told)?, payload, callback_url }, unique))
}

/// The items of a batch, each known to be JSON. What is over the limit is counted and not kept.
#[derive(Default)]
struct Items<'a> {
    first: Vec<&'a RawValue>,
    count: usize,
}

impl<'a> Items<'a> {
    fn push(&mut self, item: &'a RawValue) {
        self.count += 1;
        if self.count <= BATCH_LIMIT {
            self.first.push(item);
        }
    }
}

fn array(text: &[u8]) -> Result<Items<'_>, Problem> {
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        Category::Data => Problem::new(Kind::InvalidBatch, "the body must be an array of tasks"),
        _ => malformed(&error.to_string()),
    })
}

fn lines(text: &[u8]) -> Result<Items<'_>, Problem> {
    let mut items = Items::default();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        items.push(serde_json::from_slice(line).map_err(|error| malformed(&format!("line {}: {error}", number + 1)))?);
    }
    Ok(items)
}

/// What is wrong with a body that is no JSON.
pub(crate) fn malformed(reason: &str) -> Problem {
    Problem::new(Kind::MalformedJson, format!("the body is not JSON: {reason}"))
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of tasks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items<'de>, A::Error> {
                let mut items = Items::default();
                while items.count < BATCH_LIMIT {
                    match sequence.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(items),
                    }
                }
                while sequence.next_element::<IgnoredAny>()?.is_some() {
                    items.count += 1;
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        whole(&number).map(Self).ok_or_else(|| D::Error::custom(format!("{number} is no integer, or out of range")))
    }
}

/// A number as an integer, if it is one.
pub(crate) fn whole(number: &Number) -> Option<i64> {
    /// From here on an `f64` cannot tell integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < EXACT);
    number.as_i64().or_else(|| float().map(|float| float as i64))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Seconds(f64),
            Text(String),
        }
        let form = Form::deserialize(deserializer).map_err(|_| D::Error::custom("a span is text or a number"))?;
        let span = match form {
            Form::Seconds(seconds) => duration(&seconds.to_string()),
            Form::Text(text) => duration(&text),
        };
        span.map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queue::task::Start;

    use super::*;

    fn read(text: &str, format: Format) -> Result<Vec<NewTask>, Problem> {
        parse(text.as_bytes(), format, &TaskArgs::default(), None, DateTime::UNIX_EPOCH).map(|batch| batch.tasks)
    }

    fn json(text: &str) -> Result<Vec<NewTask>, Problem> {
        read(text, Format::Json)
    }

    #[test]
    fn items_carry_payload_and_options() {
        let tasks = json(
            r#"[{"payload": {"a": 1.50}}, {"payload": null, "queue": "q", "kind": "k", "priority": -5.0, "delay": "2m",
                "max_attempts": 3, "timeout": 1.5}, {"payload": [], "delay": 7}]"#,
        )
        .unwrap();
        assert_eq!(tasks.iter().map(|task| task.payload.get()).collect::<Vec<_>>(), [r#"{"a": 1.50}"#, "null", "[]"]);
        let options = &tasks[1].options;
        assert_eq!((options.lane.queue.as_str(), options.lane.kind.as_str()), ("q", "k"));
        assert_eq!((options.priority, options.max_attempts), (-5, 3));
        assert_eq!(
            (options.start, options.timeout),
            (Start::After(Duration::from_secs(120)), Duration::from_millis(1500))
        );
        assert_eq!(tasks[2].options.start, Start::After(Duration::from_secs(7)));
    }

    #[test]
    fn lines_may_be_blank_and_need_no_last_newline() {
        let tasks = read("{\"payload\":1}\r\n\n  \n{\"payload\":2}", Format::Lines).unwrap();
        assert_eq!(tasks.len(), 2);
        let problem = read("{\"payload\":1}\n{\"payload\":\n", Format::Lines).unwrap_err();
        assert_eq!(problem.kind(), Kind::MalformedJson);
        assert!(format!("{problem:?}").contains("line 2"), "{problem:?}");
    }

    #[test]
    fn every_bad_item_is_told_with_its_index() {
        let problem = json(
            r#"[{"payload":1},{},{"payload":1,"colour":2},{"payload":"\u0000"},{"payload":1,"priority":101},7,
                {"payload":1,"queue":"a b"},{"payload":1,"delay":true},{"payload":1,"delay":1,"run_at":"2020-01-01T00:00:00Z"},
                {"payload":1,"payload":2},{"payload":1,"priority":1.5},{"payload":1,"priority":1e30}]"#,
        )
        .unwrap_err();
        assert_eq!(problem.kind(), Kind::InvalidBatch);
        let text = format!("{problem:?}");
        for index in 1..=11 {
            assert!(text.contains(&format!("\"index\": Number({index})")), "{index}: {text}");
        }
        assert!(!text.contains("\"index\": Number(0)"), "{text}");
    }

    #[test]
    fn errors_are_counted_in_full_and_told_in_part() {
        let text = format!("[{}]", vec!["{}"; 150].join(","));
        let problem = format!("{:?}", json(&text).unwrap_err());
        assert!(problem.contains("150 of 150") && problem.contains("Number(99)") && !problem.contains("Number(100)"));
    }

    #[test]
    fn what_is_no_array_is_told_apart() {
        for (text, kind) in [
            ("", Kind::MalformedJson),
            ("[", Kind::MalformedJson),
            ("[1,]", Kind::MalformedJson),
            ("[{\"payload\":1}] x", Kind::MalformedJson),
            ("{}", Kind::InvalidBatch),
            ("null", Kind::InvalidBatch),
            ("[]", Kind::InvalidBatch),
        ] {
            assert_eq!(json(text).unwrap_err().kind(), kind, "{text}");
        }
        assert_eq!(read("", Format::Lines).unwrap_err().kind(), Kind::InvalidBatch);
    }

    #[test]
    fn a_batch_has_a_limit() {
        let item = r#"{"payload":0}"#;
        assert_eq!(json(&format!("[{}]", vec![item; BATCH_LIMIT].join(","))).unwrap().len(), BATCH_LIMIT);
        let problem = json(&format!("[{}]", vec![item; BATCH_LIMIT + 1].join(","))).unwrap_err();
        assert_eq!(problem.kind(), Kind::InvalidBatch);
    }
}
