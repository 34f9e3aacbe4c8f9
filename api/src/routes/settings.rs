//! PATCH /queues/{name}

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
};
use diesel_async::AsyncConnection;
use queue::{
    admission::{self, AGE_LIMIT, Change, DEPTH_LIMIT},
    strict::{self, KINDS_LIMIT, Kinds},
    task::Name,
};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    path::QueuePath,
    queues::{QueueView, now},
};
use crate::{
    access::Caller,
    batch::{malformed, whole},
    body::Format,
    options::duration,
    problem::{Kind, Problem},
    query::{Query, invalid},
    shapes,
    state::AppState,
};

/// Longest body: a hundred names with room to spare.
const BODY_LIMIT: usize = 16 * 1024;

/// What to change about a queue: what is not named stays as it is.
#[derive(ToSchema)]
#[schema(min_properties = 1)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `read` reads")]
pub(crate) struct QueueSettings {
    /// The only kinds that the queue accepts, 1 to 100; null: any.
    #[schema(min_items = 1, max_items = 100)]
    kinds: Option<Vec<shapes::Name>>,
    /// Submits are refused with 429 while so many tasks are queued; null: never.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    max_depth: Option<u64>,
    /// Submits are refused with 429 while a task has been queued for longer; null: never.
    max_age: Option<shapes::Age>,
}

/// As read.
#[derive(Clone, Debug, Default)]
struct Settings {
    /// None: as it is. `Some(None)`: any kind.
    kinds: Option<Option<Kinds>>,
    limits: Change,
}

/// Make a queue strict or limited, or not
///
/// A strict queue accepts the listed kinds only: a submit of another one is refused with 422. A limited one refuses submits with 429 while so much
/// waits; each API process looks every two seconds, and lets in what comes between two looks. What was accepted before is not touched.
/// Other API processes follow within seconds. Settings may be made before the first task.
#[utoipa::path(
    patch,
    path = "/queues/{name}",
    tag = "queues",
    operation_id = "updateQueue",
    params(("name" = shapes::Name, Path, description = "The queue; write / as %2F")),
    request_body(content = QueueSettings, content_type = "application/json", example = json!({"kinds": ["email", "http"], "max_depth": 100_000, "max_age": "10m"})),
    responses((status = 200, description = "The queue as it is now", body = QueueView))
)]
pub(crate) async fn update_queue(
    State(state): State<AppState>,
    caller: Caller,
    QueuePath(name): QueuePath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    caller.check_queue(name.as_str(), &state.metrics.access)?;
    if Format::of(&headers) != Some(Format::Json) {
        return Err(Problem::new(Kind::UnsupportedMediaType, "send JSON with `content-type: application/json`"));
    }
    let settings = read(state.bodies.receive(body, BODY_LIMIT).await?.bytes())?;
    let (queue, strict) = (name.clone(), state.strict.clone());
    let kinds = settings.kinds.clone();
    let changed = queue.clone();
    let work = state.store.run_as_one(
        move |connection| {
            let (queue, Settings { kinds, limits }) = (queue.clone(), settings.clone());
            Box::pin(async move {
                connection
                    .transaction(async |connection| {
                        if let Some(kinds) = &kinds {
                            strict::set(connection, &queue, kinds.as_ref()).await?;
                        }
                        if limits != Change::default() {
                            admission::set(connection, &queue, &limits).await?;
                        }
                        Ok::<_, diesel::result::Error>(())
                    })
                    .await
            })
        },
        // In this process it holds at once.
        move |_| {
            if let Some(kinds) = kinds {
                strict.change(changed, kinds);
            }
        },
    );
    work.await?;
    // The looks that are under way may have been too early to see the change.
    state.suspicion.raise();
    state.admission.changed();
    now(&state, &name).await
}

fn read(text: &[u8]) -> Result<Settings, Problem> {
    let members: Map<String, Value> = match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Err(invalid("kinds", "the body must be an object such as {\"kinds\": [\"email\"]}")),
        Err(error) => return Err(malformed(&error.to_string())),
    };
    if members.is_empty() {
        return Err(invalid("kinds", "missing; there are kinds, max_depth and max_age"));
    }
    let mut settings = Settings::default();
    for (name, value) in &members {
        match name.as_str() {
            "kinds" => settings.kinds = Some(kinds(value)?),
            "max_depth" => settings.limits.depth = Some(depth(value)?),
            "max_age" => settings.limits.age = Some(age(value)?),
            unknown => return Err(invalid(unknown, "unknown; there are kinds, max_depth and max_age")),
        }
    }
    Ok(settings)
}

fn kinds(value: &Value) -> Result<Option<Kinds>, Problem> {
    const EXPECTED: &str = "must be null or a list of 1 to 100 kinds";
    match value {
        Value::Null => Ok(None),
        Value::Array(kinds) if (1..=KINDS_LIMIT).contains(&kinds.len()) => {
            let name = |kind: &Value| match kind {
                Value::String(text) => Name::new(text.as_str()).map_err(|error| invalid("kinds", &error.to_string())),
                _ => Err(invalid("kinds", EXPECTED)),
            };
            kinds.iter().map(name).collect::<Result<BTreeSet<_>, _>>().map(Some)
        }
        _ => Err(invalid("kinds", EXPECTED)),
    }
}

fn depth(value: &Value) -> Result<Option<u64>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let depth = value.as_number().and_then(whole).filter(|depth| (1..=DEPTH_LIMIT).contains(depth));
    let depth = depth.map(|depth| Some(depth.unsigned_abs()));
    depth.ok_or_else(|| invalid("max_depth", &format!("must be null or an integer from 1 to {DEPTH_LIMIT}")))
}

fn age(value: &Value) -> Result<Option<Duration>, Problem> {
    let age = match value {
        Value::Null => return Ok(None),
        Value::Number(seconds) => duration(&seconds.to_string()).ok(),
        Value::String(text) => duration(text).ok(),
        _ => None,
    };
    let age = age.filter(|age| (Duration::from_secs(1)..=AGE_LIMIT).contains(age));
    age.map(Some).ok_or_else(|| invalid("max_age", "must be null or a span from 1s to 366days, such as 90s or 10m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly() {
        let kinds = read(br#"{"kinds": ["email", "http", "email"]}"#).unwrap().kinds.unwrap().unwrap();
        assert_eq!(kinds.iter().map(Name::as_str).collect::<Vec<_>>(), ["email", "http"]);
        assert_eq!(read(br#"{"kinds": null}"#).unwrap().kinds, Some(None));
        let limits = read(br#"{"max_depth": 100.0, "max_age": "1h 30m"}"#).unwrap();
        let change = Change { depth: Some(Some(100)), age: Some(Some(Duration::from_secs(5400))) };
        assert_eq!((limits.kinds, limits.limits), (None, change));
        let off = read(br#"{"max_depth": null, "max_age": null}"#).unwrap().limits;
        assert_eq!(off, Change { depth: Some(None), age: Some(None) });
        for (name, values) in [
            ("max_depth", ["0", "-1", "1.5", "\"9\"", "1000000001"]),
            ("max_age", ["0", "0.5", "\"soon\"", "true", "1e9"]),
        ] {
            for value in values {
                let problem = read(format!("{{\"{name}\": {value}}}").as_bytes()).unwrap_err();
                assert!(format!("{problem:?}").contains(name), "{name} {value}: {problem:?}");
            }
        }
        let many = format!("{{\"kinds\": [{}]}}", vec!["\"k\""; 101].join(","));
        for bad in [
            "{}",
            "[]",
            "{\"kinds\": []}",
            "{\"kinds\": \"email\"}",
            "{\"kinds\": [1]}",
            "{\"kinds\": [\"a b\"]}",
            &many,
        ] {
            assert!(format!("{:?}", read(bad.as_bytes()).unwrap_err()).contains("kinds"), "{bad}");
        }
        assert!(format!("{:?}", read(br#"{"paused": true}"#).unwrap_err()).contains("paused"));
        assert_eq!(read(b"{").unwrap_err().kind(), Kind::MalformedJson);
    }
}
